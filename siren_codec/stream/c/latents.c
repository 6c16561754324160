/* The integers of latent grids: see latents.h. Needs no library, not even C's.

   All arithmetic is exact, so its order does not matter: a caller has seen to it that float64
   evaluates the context network without rounding. */

#include "latents.h"

enum {
    SLOPE = 3, /* columns by which each row is behind the one above */
    CLIP = 127,
    LARGEST = 32767, /* magnitude of an integer, and of a mean in sixteenths */
    FRACTIONS = 16,
    UNIT_SCALE = 20, /* the index of the scale 1 */
    SCALES = 37,
    PRECISION = 24,
    ESCAPE = SIREN_SYMBOLS - 1,
};

typedef struct {
    int64_t mean; /* the integer part */
    int64_t row;  /* of the table */
} prediction;

static double clip(double x, double limit) {
    return x < -limit ? -limit : x > limit ? limit : x;
}

/* To the nearest integer, ties to even; by integers, for no mode of rounding to matter. */
static int64_t nearest(double x) {
    int64_t below = (int64_t)x - (x < (double)(int64_t)x);
    double rest = x - (double)below;
    return below + (rest > 0.5 || (rest == 0.5 && (below & 1)));
}

/* Write to sums the biases and, for each of the numbers, x times its row of a matrix. */
static void product(double *restrict sums, const double *restrict biases,
                    const double *restrict matrix, const double *restrict x,
                    const int32_t *restrict numbers, int64_t count, int64_t width) {
    for (int64_t at = 0; at < width; at += SIREN_LANES) {
        double part[SIREN_LANES];
        for (int k = 0; k < SIREN_LANES; k++) part[k] = biases ? biases[at + k] : 0;
        for (int64_t n = 0; n < count; n++) {
            const double *row = matrix + numbers[n] * width + at;
            for (int k = 0; k < SIREN_LANES; k++) part[k] += x[n] * row[k];
        }
        for (int k = 0; k < SIREN_LANES; k++) sums[at + k] = part[k];
    }
}

/* Find what a cell is predicted from that is not 0; most of it is. Return how much. */
static int64_t inputs_of(const siren_network *network, const siren_cells *cells,
                         const siren_grid *grid, int64_t i, int64_t j, double *restrict x,
                         int32_t *restrict numbers) {
    const int8_t *cell = cells->plane + grid->start + i * cells->stride + j;
    int64_t count = 0;
    for (int32_t n = 0; n < network->neighbours; n++) {
        int8_t value = cell[network->offsets[n]];
        x[count] = value;
        numbers[count] = n;
        count += value != 0;
    }
    for (int32_t n = 0; n < SIREN_SOURCES; n++) {
        int64_t start = grid->sources[n].start, octaves = grid->sources[n].octaves;
        if (start < 0) continue;
        int8_t value = cells->plane[start + (i >> octaves) * cells->stride + (j >> octaves)];
        x[count] = value;
        numbers[count] = (int32_t)network->neighbours + n;
        count += value != 0;
    }
    return count;
}

/* Run the network on a cell's inputs x, whose numbers are given: most are 0 and left out. */
static prediction run(const siren_network *network, const siren_grid *grid, double *restrict x,
                      int32_t *restrict numbers, int64_t count) {
    int64_t features = network->features, width = network->width;
    double hidden[SIREN_WIDTH], second[SIREN_WIDTH];
    product(hidden, network->biases + grid->number * width, network->first, x, numbers, count,
            width);
    double mean = hidden[features], scale = hidden[features + 1];
    count = 0;
    for (int32_t k = 0; k < features; k++) {
        x[count] = hidden[k];
        numbers[count] = k;
        count += hidden[k] > 0;
    }
    product(second, 0, network->second, x, numbers, count, width);
    for (int64_t k = 0; k < features; k++) {
        double positive = second[k] > 0 ? second[k] : 0;
        mean += positive * network->last[2 * k];
        scale += positive * network->last[2 * k + 1];
    }
    int64_t sixteenths = nearest(clip(mean, LARGEST)) + FRACTIONS / 2;
    int64_t index = nearest(clip(scale, SCALES)) + UNIT_SCALE;
    index = index < 0 ? 0 : index > SCALES - 1 ? SCALES - 1 : index;
    int64_t fraction = sixteenths & (FRACTIONS - 1);
    return (prediction){(sixteenths - fraction) / FRACTIONS, index * FRACTIONS + fraction};
}

static const prediction NONE = {0, -1};

/* Predict a cell. Where all that it sees is 0 the prediction is the grid's `empty` one. */
static prediction predict(const siren_network *network, const siren_cells *cells,
                          const siren_grid *grid, int64_t i, int64_t j, prediction *empty) {
    double x[SIREN_WIDTH];
    int32_t numbers[SIREN_WIDTH];
    int64_t count = inputs_of(network, cells, grid, i, j, x, numbers);
    if (count > 0) return run(network, grid, x, numbers, count);
    if (empty->row < 0) *empty = run(network, grid, x, numbers, 0);
    return *empty;
}

/* Return the next symbol by a table; 0 if there is none, and the layer is wrong then. */
static int64_t symbol_of(siren_layer *layer, const uint32_t *words, const uint32_t *table) {
    uint64_t scale = layer->range >> PRECISION;
    uint64_t quantile = (layer->point - layer->lower) / scale, below = 0;
    int64_t symbol = 0;
    if (quantile >> PRECISION) {
        layer->wrong = 1;
        return 0;
    }
    while (quantile - below >= table[symbol]) below += table[symbol++];
    layer->lower += scale * below;
    layer->range = scale * table[symbol];
    if (layer->range >> 32 == 0) {
        layer->lower <<= 32;
        layer->range <<= 32;
        layer->point <<= 32;
        if (layer->word < layer->words_end) layer->point |= words[layer->word];
        /* One word more may have been read than was written, when the message was ended. */
        if (layer->word++ > layer->words_end) layer->wrong = 1;
    }
    return symbol;
}

/* Return the next residual that is in no table: a varint, beyond those that are. */
static int64_t escaped(siren_layer *layer, const uint8_t *escapes) {
    uint64_t value = 0;
    for (int shift = 0; shift <= 28 && layer->escape < layer->escapes_end; shift += 7) {
        uint64_t byte = escapes[layer->escape++];
        value |= (byte & 0x7F) << shift;
        if (byte >= 0x80) continue;
        if (value >> 32 || (byte == 0 && shift > 0)) break;
        value += ESCAPE;
        return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    }
    layer->wrong = 1;
    return 0;
}

/* Return the integer of a cell. It means nothing if the layer is wrong. */
static int64_t integer_of(siren_layer *layer, const uint32_t *words, const uint8_t *escapes,
                          const uint32_t *tables, prediction at) {
    int64_t symbol = symbol_of(layer, words, tables + at.row * SIREN_SYMBOLS);
    int64_t residual = symbol & 1 ? -(symbol + 1) / 2 : symbol / 2;
    int64_t value = at.mean + (symbol == ESCAPE ? escaped(layer, escapes) : residual);
    if (!layer->wrong && (value < -LARGEST || value > LARGEST)) layer->wrong = 1;
    return value;
}

/* The rows of a grid that have a cell in a step: row i has the one in column step - SLOPE i. */
static int64_t top_of(const siren_grid *grid, int64_t step) {
    return step < grid->columns ? 0 : (step - grid->columns) / SLOPE + 1;
}

static int64_t end_of(const siren_grid *grid, int64_t step) {
    int64_t end = step < 0 ? 0 : step / SLOPE + 1;
    return end < grid->rows ? end : grid->rows;
}

int siren_decode(int64_t first, int64_t last, const siren_grid *grids, int64_t count,
                 siren_layer *layers, const uint32_t *words, const uint8_t *escapes,
                 const uint32_t *tables, const siren_network *network, siren_cells cells) {
    for (int64_t step = first; step < last; step++)
        for (int64_t o = 0; o < count; o++) {
            const siren_grid *grid = grids + o;
            siren_layer *layer = layers + grid->layer;
            int64_t end = end_of(grid, step - o);
            prediction empty = NONE;
            for (int64_t i = top_of(grid, step - o); i < end; i++) {
                int64_t j = step - o - SLOPE * i;
                prediction at = predict(network, &cells, grid, i, j, &empty);
                int64_t value = integer_of(layer, words, escapes, tables, at);
                if (layer->wrong) return 1;
                cells.values[grid->place + i * grid->columns + j] = (int16_t)value;
                cells.plane[grid->start + i * cells.stride + j] =
                    (int8_t)(value < -CLIP ? -CLIP : value > CLIP ? CLIP : value);
            }
        }
    return 0;
}

int64_t siren_predict(int64_t first, int64_t last, const siren_grid *grids, int64_t count,
                      const siren_network *network, siren_cells cells, uint8_t *numbers,
                      uint16_t *rows, int32_t *residuals) {
    int64_t n = 0;
    for (int64_t step = first; step < last; step++)
        for (int64_t o = 0; o < count; o++) {
            const siren_grid *grid = grids + o;
            int64_t end = end_of(grid, step - o);
            prediction empty = NONE;
            for (int64_t i = top_of(grid, step - o); i < end; i++, n++) {
                int64_t j = step - o - SLOPE * i;
                prediction at = predict(network, &cells, grid, i, j, &empty);
                numbers[n] = (uint8_t)grid->number;
                rows[n] = (uint16_t)at.row;
                residuals[n] =
                    (int32_t)(cells.values[grid->place + i * grid->columns + j] - at.mean);
            }
        }
    return n;
}
