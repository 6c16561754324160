/* latents.c for Python. The arrays are checked by their caller, siren_codec.stream.by_c. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "latents.h"

enum { NETWORK = 5, MOST = 14 };

/* The buffers of the arguments from `first` on. */
typedef struct {
    Py_buffer views[MOST];
    int count;
} buffers;

static void release(buffers *held) {
    while (held->count) PyBuffer_Release(&held->views[--held->count]);
}

/* Take the buffers of a call's arguments; those from `writable` on are written to. */
static int take(buffers *held, PyObject *const *arguments, int count, int writable) {
    for (held->count = 0; held->count < count; held->count++) {
        int flags = held->count < writable ? PyBUF_SIMPLE : PyBUF_WRITABLE;
        if (PyObject_GetBuffer(arguments[held->count], &held->views[held->count], flags)) {
            release(held);
            return -1;
        }
    }
    return 0;
}

/* The context network of five buffers. */
static siren_network network_of(const Py_buffer *views) {
    int64_t neighbours = views[4].len / (Py_ssize_t)sizeof(int64_t);
    int64_t inputs = neighbours + SIREN_SOURCES;
    return (siren_network){
        .neighbours = neighbours,
        .features = views[3].len / (Py_ssize_t)sizeof(double) / 2,
        .width = views[0].len / (Py_ssize_t)sizeof(double) / inputs,
        .first = views[0].buf,
        .biases = views[1].buf,
        .second = views[2].buf,
        .last = views[3].buf,
        .offsets = views[4].buf,
    };
}

static int steps_of(PyObject *const *arguments, int64_t *steps) {
    for (int k = 0; k < 3; k++) steps[k] = PyLong_AsLongLong(arguments[k]);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *decode(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    (void)self;
    int64_t steps[3];
    buffers held;
    enum { GRIDS = NETWORK, WORDS, ESCAPES, TABLES, LAYERS, PLANE, VALUES, ALL };
    if (count != 3 + ALL) return PyErr_Format(PyExc_TypeError, "decode: %d arguments", 3 + ALL);
    if (steps_of(arguments, steps) || take(&held, arguments + 3, ALL, LAYERS)) return NULL;
    const Py_buffer *views = held.views;
    siren_network network = network_of(views);
    siren_cells cells = {steps[2], views[PLANE].buf, views[VALUES].buf};
    int64_t grids = views[GRIDS].len / (Py_ssize_t)sizeof(siren_grid);
    int wrong;
    Py_BEGIN_ALLOW_THREADS;
    wrong = siren_decode(steps[0], steps[1], views[GRIDS].buf, grids, views[LAYERS].buf,
                         views[WORDS].buf, views[ESCAPES].buf, views[TABLES].buf, &network, cells);
    Py_END_ALLOW_THREADS;
    release(&held);
    return PyBool_FromLong(!wrong);
}

static PyObject *predict(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    (void)self;
    int64_t steps[3];
    buffers held;
    enum { GRIDS = NETWORK, PLANE, VALUES, NUMBERS, ROWS, RESIDUALS, ALL };
    if (count != 3 + ALL) return PyErr_Format(PyExc_TypeError, "predict: %d arguments", 3 + ALL);
    if (steps_of(arguments, steps) || take(&held, arguments + 3, ALL, NUMBERS)) return NULL;
    const Py_buffer *views = held.views;
    siren_network network = network_of(views);
    siren_cells cells = {steps[2], views[PLANE].buf, views[VALUES].buf};
    int64_t grids = views[GRIDS].len / (Py_ssize_t)sizeof(siren_grid), found;
    Py_BEGIN_ALLOW_THREADS;
    found = siren_predict(steps[0], steps[1], views[GRIDS].buf, grids, &network, cells,
                          views[NUMBERS].buf, views[ROWS].buf, views[RESIDUALS].buf);
    Py_END_ALLOW_THREADS;
    release(&held);
    return PyLong_FromLongLong(found);
}

static PyMethodDef methods[] = {
    {"decode", (PyCFunction)(void (*)(void))decode, METH_FASTCALL, NULL},
    {"predict", (PyCFunction)(void (*)(void))predict, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_latents", NULL, 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__latents(void) { return PyModuleDef_Init(&definition); }
