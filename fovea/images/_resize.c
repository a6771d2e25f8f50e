/* The central square of an RGB image, resized to the bits that Pillow gives: see resize.py.

The image is read where it lies in Pillow's memory, which Pillow exports by the Arrow C data interface
(https://arrow.apache.org/docs/format/CDataInterface.html): four bytes a pixel, of which the last says nothing. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "_resize.h"

#include <string.h>

#define LARGEST_SIZE 4096

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

static void *refused(const char *what) {
    PyErr_SetString(PyExc_ValueError, what);
    return NULL;
}

/* The first of `length` pixels of four bytes; they live as long as the capsules do. NULL with ValueError. */
static const uint8_t *exported_pixels(PyObject *schema_capsule, PyObject *array_capsule, int64_t length) {
    const struct ArrowSchema *schema = PyCapsule_GetPointer(schema_capsule, "arrow_schema");
    const struct ArrowArray *array = schema ? PyCapsule_GetPointer(array_capsule, "arrow_array") : NULL;
    if (!array)
        return NULL;
    if (!schema->release || !array->release)
        return refused("the export was released");
    if (strcmp(schema->format, "+w:4") || schema->n_children != 1 || strcmp(schema->children[0]->format, "C"))
        return refused("the export is not of four bytes a pixel");
    if (array->n_children != 1 || array->length != length || array->offset)
        return refused("the export is not of the image's pixels");
    const struct ArrowArray *samples = array->children[0];
    if (samples->length != 4 * length || samples->offset || samples->n_buffers != 2 || !samples->buffers[1])
        return refused("the export is not of the image's samples");
    return samples->buffers[1];
}

/* Without the interpreter's lock. */
static int run(Task *task, int filter, const float *box, int plain) {
    int status = axis_make(&task->across, filter, task->width, box[0], box[2], task->size);
    if (status == DONE)
        status = axis_make(&task->down, filter, task->rows, box[1], box[3], task->size);
    if (status == DONE)
        status = task_run(task, plain);
    axis_free(&task->across);
    axis_free(&task->down);
    return status;
}

static PyObject *answer(int status) {
    if (status == NO_MEMORY)
        return PyErr_NoMemory();
    if (status == NOT_DONE_HERE)
        return refused("so many weights are not taken");
    Py_RETURN_NONE;
}

static int is_within(float low, float high, int length) {
    return 0 <= low && low <= high && high <= (float)length;
}

PyDoc_STRVAR(centre_doc,
             "centre(schema, array, result, width, height, first, last, box, size, filter, plain)\n\n"
             "From the rows `first` to `last` of an image of four bytes a pixel, in a pair of Arrow's capsules,\n"
             "makes `size` x `size` pixels of three bytes in `result`: of the pixels in `box`, (left, top,\n"
             "right, bottom) within those rows, by `filter` 0 (bilinear), 1 (bicubic) or 2 (Lanczos).\n"
             "Raises ValueError for what is not taken.");

static PyObject *centre(PyObject *module, PyObject *arguments) {
    PyObject *schema, *array, *result = NULL;
    Py_buffer buffer;
    int width, height, first, last, filter, plain;
    float box[4];
    Task task = {0};
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OOw*iiii(ffff)iip", &schema, &array, &buffer, &width, &height, &first, &last,
                          &box[0], &box[1], &box[2], &box[3], &task.size, &filter, &plain))
        return NULL;
    const uint8_t *pixels = NULL;
    if (width < 1 || height < 1 || first < 0 || last <= first || last > height)
        refused("there are no such rows");
    else if (!is_within(box[0], box[2], width) || !is_within(box[1], box[3], last - first))
        refused("the box is not in the rows");
    else if (filter < 0 || filter > 2 || task.size < 1 || task.size > LARGEST_SIZE)
        refused("there is no such filter or size");
    else if (buffer.len != (Py_ssize_t)task.size * task.size * 3)
        refused("the result is not of that size");
    else
        pixels = exported_pixels(schema, array, (int64_t)width * height);
    if (pixels) {
        int status;
        task.pixels = pixels + (size_t)first * (size_t)width * 4;
        task.width = width;
        task.rows = last - first;
        task.result = buffer.buf;
        Py_BEGIN_ALLOW_THREADS
        status = run(&task, filter, box, plain);
        Py_END_ALLOW_THREADS
        result = answer(status);
    }
    PyBuffer_Release(&buffer);
    return result;
}

static PyMethodDef methods[] = {{"centre", centre, METH_VARARGS, centre_doc}, {NULL, NULL, 0, NULL}};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_resize", "The exact resize; see resize.py.", 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__resize(void) { return PyModuleDef_Init(&definition); }
