/* The samples of a picture on a lattice of points, for siren.js: docs/FORMAT.md, section 7.

   Planes hold the values of all points of one input or output after another; their number is a
   multiple of POINTS. Needs no library. */

#include <stdint.h>
#include <wasm_simd128.h>

enum {
    POINTS = 8, /* that are taken at a time */
    ROWS = 4,   /* outputs that are taken at a time */
    TAPS = 6,   /* cells of an axis that a point sees */
};

/* Loops over sums, which are to stay in registers; the compiler is asked for small code. */
#define UNROLL _Pragma("clang loop unroll(full)")

typedef float vector __attribute__((vector_size(16), aligned(4)));

static vector load(const float *from) { return *(const vector *)from; }

/* Add up `rows` outputs for POINTS points: weights are (rows, inputs), `from` planes. */
static inline __attribute__((always_inline)) void tile(const float *weights, int32_t inputs, const float *biases, int rows,
                        const float *from, float *to, int32_t points, int keep) {
    vector sums[ROWS][2];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int k = 0; k < 2; k++)
            sums[r][k] = keep ? load(to + r * points + 4 * k)
                              : (vector){biases[r], biases[r], biases[r], biases[r]};
    for (int32_t n = 0; n < inputs; n++) {
        vector left = load(from + n * points), right = load(from + n * points + 4);
        UNROLL for (int r = 0; r < rows; r++) {
            sums[r][0] += left * weights[r * inputs + n];
            sums[r][1] += right * weights[r * inputs + n];
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int k = 0; k < 2; k++) *(vector *)(to + r * points + 4 * k) = sums[r][k];
}

/* to = weights from + biases; without biases the product is added to what is there. */
void siren_product(const float *weights, const float *biases, int32_t outputs, int32_t inputs,
                   const float *from, float *to, int32_t points) {
    for (int32_t p = 0; p < points; p += POINTS) {
        int32_t r = 0;
        for (; r + ROWS <= outputs; r += ROWS)
            tile(weights + r * inputs, inputs, biases + r, ROWS, from + p, to + r * points + p,
                 points, !biases);
        for (; r < outputs; r++)
            tile(weights + r * inputs, inputs, biases + r, 1, from + p, to + r * points + p,
                 points, !biases);
    }
}

static vector nearest(vector x) { return (vector)wasm_f32x4_nearest((v128_t)x); }

/* Put cos(2 pi x) in the place of each x, by a polynomial in v^2, v being x less the nearest
   integer: `network.js` has the same one. */
void siren_cosines(float *turns, int32_t count) {
    for (int32_t k = 0; k < count; k += 4) {
        vector *place = (vector *)(turns + k);
        vector v = *place - nearest(*place), w = v * v;
        vector sum = w * -1.4529874920845032f + 7.800022165291011f;
        sum = sum * w - 26.404630603916303f;
        sum = sum * w + 60.24212492771494f;
        sum = sum * w - 85.45665775339239f;
        sum = sum * w + 64.9393890524762f;
        sum = sum * w - 19.739208743087502f;
        *place = sum * w + 0.999999999884617f;
    }
}

/* Sample a grid on a lattice of `across` columns and `down` rows, of which each sees TAPS cells by
   their weights. `lines` is memory for `across` numbers for each row of cells from the first one
   that is seen to the last one. */
void siren_grid_samples(const int16_t *grid, int32_t columns, const int32_t *cells_x,
                        const float *weights_x, int32_t across, const int32_t *cells_y,
                        const float *weights_y, int32_t down, float *lines, float *to) {
    int32_t top = cells_y[0], rows = cells_y[TAPS * down - 1] - top + 1;
    for (int32_t i = 0; i < rows; i++) {
        const int16_t *row = grid + (top + i) * columns;
        for (int32_t p = 0; p < across; p++) {
            float sum = 0;
            for (int k = 0; k < TAPS; k++)
                sum += weights_x[TAPS * p + k] * row[cells_x[TAPS * p + k]];
            lines[i * across + p] = sum;
        }
    }
    for (int32_t q = 0; q < down; q++) {
        float *out = to + q * across;
        for (int32_t p = 0; p < across; p++) out[p] = 0;
        for (int k = 0; k < TAPS; k++) {
            const float *line = lines + (cells_y[TAPS * q + k] - top) * across;
            float weight = weights_y[TAPS * q + k];
            for (int32_t p = 0; p < across; p++) out[p] += weight * line[p];
        }
    }
}
