/* What a CPU core does in a cycle, for the numbers of a machine's YAML.

     gcc -O2 -mavx2 -mfma benchmarks/cpu_probe.c -o cpu_probe && ./cpu_probe

   A cycle is what one addition takes that waits for the one before; it is measured beside every
   number, as clocks change. Each number is the least of 31 tries: neighbours on a shared host only
   slow down. x86-64, Linux. It printed benchmarks/zen3_probe.txt, without the last two tables, on one
   core of an AMD EPYC of family 25, model 1 (Zen 3), and benchmarks/zen4_probe.txt on one of model
   17 (Zen 4), both virtual machines with pages of 4 KiB. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define TRIES 31
#define ROOM (192u << 20)
#define PAGE 4096
#define TEN(x) x x x x x x x x x x

static char *room;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static double cycle(void) {
    double begin = now();
    uint64_t x = 1;
    for (int i = 0; i < 100000; i++)
        __asm__ volatile(TEN("add $1,%0\n") : "+r"(x));
    return (now() - begin) / 1e6;
}

/* The least cycles for each of `count` in a run of `work`. */
#define LEAST(result, work, count)                                  \
    double result = 1e30;                                           \
    for (int try = 0; try < TRIES; try++) {                         \
        double before = cycle(), begin = now();                     \
        work;                                                       \
        double took = now() - begin;                                \
        took /= 0.5 * (before + cycle()) * (double)(count);         \
        if (took < result) result = took;                           \
    }

/* A load that gives the address of the next: lines in random order. */
static double latency(size_t bytes) {
    size_t lines = bytes / 64, steps = 200000, *order = malloc(lines * sizeof *order);
    for (size_t i = 0; i < lines; i++) order[i] = i;
    for (size_t i = lines - 1; i > 0; i--) {
        size_t j = (((size_t)rand() << 16) ^ (size_t)rand()) % i, kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    for (size_t i = 0; i < lines; i++)
        *(char **)(room + 64 * order[i]) = room + 64 * order[(i + 1) % lines];
    free(order);
    char *p = room;
    for (size_t i = 0; i < lines; i++) p = *(char *volatile *)p;
    LEAST(found, for (size_t i = 0; i < steps; i++) p = *(char *volatile *)p, steps)
    return found;
}

enum { LOAD, STORE, UPDATE };

#define AT(k) "m"(p[(k) * stride])
#define EIGHT(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7)
#define LOADED(k) __asm__ volatile("movss %0,%%xmm0" ::AT(k) : "xmm0");
#define STORED(k) __asm__ volatile("movss %%xmm0,%0" : "=m"(p[(k) * stride]));
#define UPDATED(k) LOADED(k) STORED(k)
#define WALK(x) for (size_t i = 0; i < rows; i += 8, p += 8 * stride) { EIGHT(x) }

/* One word of every row, column after column: cycles a word. */
static double column(size_t rows, size_t bytes, int what) {
    size_t rounds = 200000 / rows + 1, stride = bytes / 4;
    LEAST(found, for (size_t round = 0; round < rounds; round++) {
        float *p = (float *)room + round % 16;
        if (what == LOAD) WALK(LOADED)
        else if (what == STORE) WALK(STORED)
        else WALK(UPDATED)
    }, rounds * rows)
    return found;
}

/* Whole lines one after another: cycles a line. */
static double stream(size_t bytes, int what) {
    size_t rounds = (4u << 20) / bytes + 1;
    LEAST(found, for (size_t round = 0; round < rounds; round++)
        for (char *p = room; p < room + bytes; p += 64) {
            if (what != STORE)
                __asm__ volatile("vmovaps (%0),%%ymm0\nvmovaps 32(%0),%%ymm1" ::"r"(p)
                                 : "xmm0", "xmm1");
            if (what != LOAD)
                __asm__ volatile("vmovaps %%ymm0,(%0)\nvmovaps %%ymm1,32(%0)" ::"r"(p)
                                 : "memory");
        }, rounds * (bytes / 64))
    return found;
}

/* C = A * B in the order ijk, all words of a sum one after another, rows of ld words: cycles a step. */
static double product(size_t n, size_t ld) {
    float *a = (float *)room, *b = a + ld, sum;
    size_t columns = 100000 / n + 16;
    LEAST(found, for (size_t j = 0; j < columns; j++) {
        sum = 0;
        for (size_t k = 0; k < n; k++) {
            sum += a[k] * b[k * ld + j];
            __asm__ volatile("" : "+x"(sum));
        }
    }, columns * n)
    return found;
}

int main(void) {
    static const char *names[] = {"load", "store", "update"};
    room = aligned_alloc(1 << 21, ROOM);
    madvise(room, ROOM, MADV_NOHUGEPAGE);
    memset(room, 1, ROOM);
    printf("clock: %.2f GHz\n", 1e-9 / cycle());
    LEAST(add, for (int i = 0; i < 20000; i++) __asm__ volatile(
        TEN("addss %%xmm1,%%xmm0\n") ::: "xmm0"), 200000)
    LEAST(fma, for (int i = 0; i < 20000; i++) __asm__ volatile(
        TEN("vfmadd231ps %%ymm1,%%ymm1,%%ymm0\n") ::: "xmm0"), 200000)
    LEAST(nop, for (int i = 0; i < 20000; i++) __asm__ volatile(TEN("nop\nnop\n")), 440000)
    printf("addition after addition: %.1f cycles; fused multiply-add: %.1f\n", add, fma);
    printf("instructions a cycle: %.1f\n", 1 / nop);
    puts("\nlatency of a load, cycles, by KiB that are read in random order");
    size_t reach[] = {16, 128, 256, 2048, 4096, 32768};
    for (int i = 0; i < 6; i++) printf("%6zu: %.0f\n", reach[i], latency(reach[i] << 10));
    puts("\ncycles a line, one after another, by KiB: load, store, update");
    size_t sizes[] = {16, 256, 4096, 32768};
    for (int i = 0; i < 4; i++)
        printf("%6zu: %.1f %.1f %.1f\n", sizes[i], stream(sizes[i] << 10, LOAD),
               stream(sizes[i] << 10, STORE), stream(sizes[i] << 10, UPDATE));
    puts("\ncycles a word, down columns, by bytes of a row and number of rows");
    puts("(64 sets of 64-byte lines: rows of 512 bytes meet 8 of them, of 4096 bytes one)");
    size_t strides[] = {576, 512, 1024, 2048, 4096}, rows[] = {32, 128, 256, 512};
    for (int what = LOAD; what <= UPDATE; what++)
        for (int i = 0; i < 5; i++) {
            printf("%-6s rows of %4zu bytes:", names[what], strides[i]);
            for (int j = 0; j < 4; j++)
                printf("  %zu: %.1f", rows[j], column(rows[j], strides[i], what));
            puts("");
        }
    puts("\ncycles a word, down columns of rows that lie some pages and a line apart, by rows");
    for (size_t pages = 1; pages <= 6; pages++) {
        printf("%zu pages:", pages);
        for (size_t n = 1024; n <= 6144; n += 1024)
            printf("  %zu: %.1f", n, column(n, pages * PAGE + 64, LOAD));
        puts("");
    }
    puts("\ncycles a step of a product in the order ijk, by n and the words of a row");
    size_t n[] = {512, 512, 1024, 1024, 2048, 2048, 3072, 4096, 4096, 6000},
           ld[] = {512, 528, 1024, 1040, 2048, 2064, 3088, 4096, 4112, 6000};
    for (int i = 0; i < 10; i++) printf("%zu x %zu: %.1f\n", n[i], ld[i], product(n[i], ld[i]));
    return 0;
}
