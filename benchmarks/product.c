/* A product of n^3: product N ijk|ikj 1 [TILE], or 0 for all but its loops. Prints where A, B, C lie. */
#include <stdio.h>
#include <stdlib.h>
int main(int count, char **words) {
    int n = atoi(words[1]), run = atoi(words[3]), t = count > 4 ? atoi(words[4]) : 0;
    float *A = calloc(n * n, 4), *B = calloc(n * n, 4), *C = calloc(n * n, 4);
    printf("%ld %ld %ld\n", (long)A, (long)B, (long)C);
    fflush(stdout);
    for (int ii = 0; t && ii < n; ii += t)
        for (int kk = 0; kk < n; kk += t)
            for (int jj = 0; jj < n; jj += t)
                for (int i = ii; i < ii + t; i++)
                    for (int k = kk; k < kk + t; k++) {
                        float a = A[i * n + k];
                        for (int j = jj; j < jj + t; j++) C[i * n + j] += a * B[k * n + j];
                    }
    for (int i = 0; !t && run && i < n; i++)
        if (words[2][1] == 'j')
            for (int j = 0; j < n; j++) {
                float c = 0;
                for (int k = 0; k < n; k++) c += A[i * n + k] * B[k * n + j];
                C[i * n + j] = c;
            }
        else
            for (int k = 0; k < n; k++) {
                float a = A[i * n + k];
                for (int j = 0; j < n; j++) C[i * n + j] += a * B[k * n + j];
            }
    return (int)C[n];
}
