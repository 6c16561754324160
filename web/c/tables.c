/* Frequency tables for the range coder, by integer arithmetic alone: docs/FORMAT.md, section 5, for
   siren.js, which gives the constant c of each table. Needs no library. */

#include <stdint.h>

enum {
    PRECISION = 24, /* frequencies add up to 2^24 */
    FRACTIONS = 16, /* of a residual's mean */
    SYMBOLS = 32,   /* of residuals; the last one is the escape */
    SUM_BITS = 39,
};

/* The high 64 of the 128 bits of a product. */
static uint64_t high_product(uint64_t a, uint64_t b) {
    uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX);
    uint64_t middle = (a >> 32) * (b & UINT32_MAX) + (low >> 32);
    uint64_t other = (a & UINT32_MAX) * (b >> 32) + (middle & UINT32_MAX);
    return (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);
}

/* T1, T2 and T3: 2^31 times the powers of 2^(-1/256), 2^(-1/256^2) and 2^(-1/256^3). */
static uint32_t powers[3][256];

static void make_powers(void) {
    static const uint64_t ratios[] = {0xFF4ECB59511EC8A5, 0xFFFF4E8E25879BFA, 0xFFFFFF4E8DE845AD};
    if (powers[0][0]) return;
    for (int digit = 0; digit < 3; digit++) {
        uint64_t power = ratios[digit];
        powers[digit][0] = (uint32_t)1 << 31;
        for (int j = 1; j < 256; j++, power = high_product(power, ratios[digit]))
            powers[digit][j] = (uint32_t)(power >> 33);
    }
}

/* The weight of what is n c / 2^shift octaves, in units of 2^-24, less likely than the likeliest. */
static uint64_t weight_of(uint64_t n, uint64_t c, int shift) {
    uint64_t y = high_product(n, c) << (64 - shift) | n * c >> shift;
    if (y >> PRECISION >= 32) return 0;
    uint64_t upper = (uint64_t)powers[0][y >> 16 & 255] * powers[1][y >> 8 & 255] >> 31;
    return (upper * powers[2][y & 255] >> 31) >> (y >> PRECISION);
}

static uint64_t weight_at(int64_t place, int gaussian, uint64_t c) {
    uint64_t magnitude = (uint64_t)(place < 0 ? -place : place);
    return weight_of(gaussian ? magnitude * magnitude : magnitude, c, 24);
}

/* Write the cumulative frequencies C[0] to C[2 reach + 1] of a table of weights. */
void siren_weight_table(uint32_t *table, int32_t reach, int32_t gaussian, uint64_t c) {
    uint64_t count = 2 * (uint64_t)reach + 1, total = 0, sum = 0;
    int excess = 0;
    make_powers();
    for (int64_t place = -reach; place <= reach; place++) total += weight_at(place, gaussian, c);
    while (total >> excess >> SUM_BITS) excess++;
    for (uint64_t s = 0; s <= count; s++) {
        uint64_t share = (sum >> excess) * (((uint64_t)1 << PRECISION) - count);
        table[s] = (uint32_t)(share / (total >> excess) + s);
        if (s < count) sum += weight_at((int64_t)s - reach, gaussian, c);
    }
}

/* 2^32 times the mass below an edge in sixteenths. */
static uint64_t mass_below(int64_t n, uint64_t c) {
    if (n < 0) return weight_of((uint64_t)-n, c, 28);
    return ((uint64_t)1 << 32) - weight_of((uint64_t)n, c, 28);
}

/* Write the frequencies of residuals of a scale, for the fractions -8 to 7. */
void siren_residual_tables(uint32_t *table, uint64_t c) {
    make_powers();
    for (int64_t fraction = -FRACTIONS / 2; fraction < FRACTIONS / 2; fraction++) {
        uint64_t sum = 0, before = 0;
        for (int64_t symbol = 0; symbol < SYMBOLS; symbol++) {
            int64_t edge = FRACTIONS * ((symbol >> 1) ^ -(symbol & 1)) - fraction;
            if (symbol == SYMBOLS - 1) sum = (uint64_t)1 << 32;
            else sum += mass_below(edge + FRACTIONS / 2, c) - mass_below(edge - FRACTIONS / 2, c);
            uint64_t share = sum * (((uint64_t)1 << PRECISION) - SYMBOLS) >> 32;
            *table++ = (uint32_t)(share - before + 1);
            before = share;
        }
    }
}
