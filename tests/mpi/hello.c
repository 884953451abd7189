/* A user's program over MPI. */
#include <cotan/cotan.h>
#include <cotan/tensor/mpi/mpi.h>

#include <stdio.h>

int main(int argc, char *argv[]) {
    ct_group *ranks = ct_group_mpi(&argc, &argv);
    if (ct_group_use(ranks, (ct_group_options){0}) != CT_OK || !ranks) {
        fprintf(stderr, "%s\n", ct_error_message());
        return 1;
    }
    printf("rank %d of %d\n", ct_group_rank(ranks), ct_group_size(ranks));
    ct_group_free(ranks);
    return 0;
}
