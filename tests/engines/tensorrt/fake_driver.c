/* A CUDA driver in host memory, for the real pycuda: contexts per thread, streams that work when they are waited for.
   Every function that needs a current context fails without one (201, CUDA_ERROR_INVALID_CONTEXT). */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKS 256
#define NEED_CONTEXT if (!depth) { fprintf(stderr, "no context: %s\n", __func__); return 201; }

typedef unsigned long long address;
typedef struct { void *to; const void *from; size_t size; void (*call)(void *); } work;
typedef struct { work queued[WORKS], recorded[WORKS]; int queued_count, recorded_count, capturing; } stream;

static __thread void *contexts[16];
static __thread int depth;
static char primary;
static int device_buffers, pinned_buffers, streams, graphs, retained;

/* For the test: failures to come, work on a stream, and what is alive. */
int fail_allocation, fail_synchronize;
static void put(stream *s, work w) {
    if (s->capturing) s->recorded[s->recorded_count++] = w;
    else s->queued[s->queued_count++] = w;
}
void fake_call(stream *s, void (*call)(void *)) { put(s, (work){0, 0, 0, call}); }
void fake_alive(int *counts) {
    counts[0] = device_buffers, counts[1] = pinned_buffers, counts[2] = streams, counts[3] = graphs, counts[4] = depth;
}

int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuGetErrorString(int error, const char **text) { *text = "made to fail"; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int number) { *device = 0; return number ? 101 : 0; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "Stand-in GPU", size); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 8 : attribute == 76 ? 9 : 1; /* compute capability */
    return 0;
}
int cuDeviceComputeCapability(int *major, int *minor, int device) { *major = 8, *minor = 9; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { retained++; *context = &primary; return 0; }
int cuDevicePrimaryCtxRelease_v2(int device) { retained--; return 0; }
int cuDevicePrimaryCtxRelease(int device) { return cuDevicePrimaryCtxRelease_v2(device); }
int cuCtxPushCurrent_v2(void *context) { if (depth == 16) return 999; contexts[depth++] = context; return 0; }
int cuCtxPopCurrent_v2(void **context) { NEED_CONTEXT *context = contexts[--depth]; return 0; }
int cuCtxGetDevice(int *device) { NEED_CONTEXT *device = 0; return 0; }
int cuCtxDetach(void *context) { fprintf(stderr, "the primary context was detached as if made\n"); return 0; }
int cuMemAlloc_v2(address *memory, size_t size) {
    NEED_CONTEXT
    void *block;
    if (fail_allocation || posix_memalign(&block, 256, size)) return 2;
    memset(block, 0xff, size);
    *memory = (address)block, device_buffers++;
    return 0;
}
int cuMemFree_v2(address memory) { NEED_CONTEXT free((void *)memory); device_buffers--; return 0; }
int cuMemHostAlloc(void **memory, size_t size, unsigned flags) {
    NEED_CONTEXT
    *memory = malloc(size), pinned_buffers++;
    return *memory ? 0 : 2;
}
int cuMemAllocHost_v2(void **memory, size_t size) { return cuMemHostAlloc(memory, size, 0); }
int cuMemFreeHost(void *memory) { NEED_CONTEXT free(memory); pinned_buffers--; return 0; }
int cuMemcpyHtoDAsync_v2(address to, const void *from, size_t size, stream *s) {
    NEED_CONTEXT
    put(s, (work){(void *)to, from, size, 0});
    return 0;
}
int cuMemcpyDtoHAsync_v2(void *to, address from, size_t size, stream *s) {
    NEED_CONTEXT
    put(s, (work){to, (void *)from, size, 0});
    return 0;
}
int cuStreamCreate(stream **s, unsigned flags) { NEED_CONTEXT *s = calloc(1, sizeof **s); streams++; return 0; }
int cuStreamDestroy_v2(stream *s) { NEED_CONTEXT free(s); streams--; return 0; }
int cuStreamSynchronize(stream *s) {
    NEED_CONTEXT
    if (s->capturing) return 900;
    for (int i = 0; i < s->queued_count; i++) {
        work *w = &s->queued[i];
        if (w->call) w->call(0);
        else memcpy(w->to, w->from, w->size);
    }
    s->queued_count = 0;
    return fail_synchronize ? 700 : 0;
}
int cuStreamBeginCapture_v2(stream *s, int mode) {
    NEED_CONTEXT
    s->capturing = 1, s->recorded_count = 0;
    return mode == 1 ? 0 : 1;
}
static void *copy(void *graph) { graphs++; return memcpy(malloc(sizeof(stream)), graph, sizeof(stream)); }
int cuStreamEndCapture(stream *s, void **graph) { NEED_CONTEXT s->capturing = 0; *graph = copy(s); return 0; }
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    NEED_CONTEXT
    *executable = copy(graph);
    return 0;
}
int cuGraphLaunch(stream *executable, stream *s) {
    NEED_CONTEXT
    for (int i = 0; i < executable->recorded_count; i++) put(s, executable->recorded[i]);
    return 0;
}
int cuGraphDestroy(void *graph) { NEED_CONTEXT free(graph); graphs--; return 0; }
int cuGraphExecDestroy(void *executable) { return cuGraphDestroy(executable); }
