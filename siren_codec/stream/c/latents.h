/* The integers of latent grids, in the order of docs/FORMAT.md section 6. */

#ifndef SIREN_LATENTS_H
#define SIREN_LATENTS_H

#include <stdint.h>

enum {
    SIREN_SOURCES = 4,      /* other grids that a cell sees */
    SIREN_NEIGHBOURS = 24,  /* at most */
    SIREN_LANES = 8,        /* numbers that are added up at a time */
    SIREN_WIDTH = 80,       /* most of siren_network's width */
    SIREN_SYMBOLS = 32,     /* of a table; the last one is the escape */
};

/* A coded grid. All of these structures are arrays of integers of 64 bits to their callers. */
typedef struct {
    int64_t rows, columns;
    int64_t start;  /* where the plane has its first cell */
    int64_t place;  /* where the values have its first cell */
    int64_t layer;
    int64_t number; /* among all grids: the row of the biases */
    struct {
        int64_t start; /* where the plane has its first cell; -1: there is none */
        int64_t octaves;
    } sources[SIREN_SOURCES];
} siren_grid;

/* A layer while it is read: the range decoder's state, and places in words and escapes. */
typedef struct {
    uint64_t lower, range, point;
    int64_t word, words_end; /* the next word; it goes on counting beyond the end */
    int64_t escape, escapes_end;
    int64_t wrong; /* not 0: no encoder writes this */
} siren_layer;

/* The context network. Its matrices are transposed, and end with zeros. */
typedef struct {
    int64_t neighbours;
    int64_t features;       /* of the hidden layers, and a 1 that brings the next layer's bias */
    int64_t width;          /* features + 2, rounded up to a multiple of SIREN_LANES */
    const double *first;    /* (inputs, width): after the features comes the bypass */
    const double *biases;   /* (grids, width) */
    const double *second;   /* (features, width) */
    const double *last;     /* (features, 2) */
    const int64_t *offsets; /* (neighbours,) from a cell to its neighbours in the plane */
} siren_network;

typedef struct {
    int64_t stride;      /* of the plane */
    int8_t *plane;       /* what is seen of the integers, with zeros around each grid */
    int16_t *values;     /* the integers */
} siren_cells;

/* Decode the cells of the steps from `first` to before `last`. Return 0, or 1 if a layer is
   wrong. `tables` are (rows, symbols) frequencies. */
int siren_decode(int64_t first, int64_t last, const siren_grid *grids, int64_t count,
                 siren_layer *layers, const uint32_t *words, const uint8_t *escapes,
                 const uint32_t *tables, const siren_network *network, siren_cells cells);

/* Predict these cells, whose integers are all there. Write each one's grid, the row of its table
   and its residual; return how many. */
int64_t siren_predict(int64_t first, int64_t last, const siren_grid *grids, int64_t count,
                      const siren_network *network, siren_cells cells, uint8_t *numbers,
                      uint16_t *rows, int32_t *residuals);

#endif
