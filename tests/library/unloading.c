/* The shared library is closed after use, while threads live that have used it: what they kept is
 * freed when they end, by code that must still be there.
 * Usage: unloading LIBRARY. Invariant: the exit status is 0 only if every thread ended well. */
#include "nn/nn.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>

static void *library;
static sem_t used, closed;

/* A function of the library by its name, of the type that its header says. */
#define OF_LIBRARY(name) __typeof__(&name) name##_ = (__typeof__(&name))dlsym(library, #name)

/* 1 + 1, with everything that a thread keeps between evaluations. */
static bool use(void) {
    OF_LIBRARY(ct_scope_open);
    OF_LIBRARY(ct_scope_close);
    OF_LIBRARY(ct_full);
    OF_LIBRARY(ct_add);
    OF_LIBRARY(ct_item);
    OF_LIBRARY(ct_sum_all);
    int64_t scope = ct_scope_open_();
    ct_tensor *x = ct_full_(CT_F32, CT_SHAPE(1000, 100), 1);
    double sum = ct_item_(ct_sum_all_(ct_add_(x, x)));
    ct_scope_close_(scope);
    return sum == 200000;
}

static void *thread(void *good) {
    *(bool *)good = use();
    sem_post(&used);
    sem_wait(&closed);
    return NULL;
}

int main(int argc, char *argv[]) {
    if (argc != 2) return 2;
    bool good[4] = {false};
    pthread_t threads[4];
    sem_init(&used, 0, 0);
    sem_init(&closed, 0, 0);
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "unloading: %s\n", dlerror());
        return 1;
    }
    bool all = use();
    for (int k = 0; k < 4; k++) {
        if (pthread_create(&threads[k], NULL, thread, &good[k]) != 0) return 1;
    }
    for (int k = 0; k < 4; k++) sem_wait(&used);
    all &= dlclose(library) == 0;
    for (int k = 0; k < 4; k++) sem_post(&closed);
    for (int k = 0; k < 4; k++) {
        pthread_join(threads[k], NULL);
        all &= good[k];
    }
    /* Loaded again, it works again. */
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    return all && library && use() && dlclose(library) == 0 ? 0 : 1;
}
