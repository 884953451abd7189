/* Groups of ranks over MPI (the standard, version 3.0 or later; Open MPI and MPICH are tried). This
 * is a library of its own: cotan::mpi of find_package(cotan COMPONENTS mpi), or pkg-config's
 * cotan-mpi. It belongs to the MPI that it was compiled with, whose mpirun starts the program:
 * mpirun -n 4 PROGRAM. cotan/cotan.h does not include this header. */
#ifndef COTAN_MPI_H
#define COTAN_MPI_H

#include <cotan/tensor/group.h>

CT_C_BEGIN

/* The processes that mpirun started, once all have called this; one rank where none did. Takes
 * &argc and &argv of main, or NULL twice. MPI is initialized if it was not, and then finalized by
 * ct_group_free, unless a rank was lost, for which MPI would wait: who comes to ct_group_free later
 * than the timeout after another counts as lost. Messages travel apart from the program's own.
 * Errors: CT_ERR_STATE when MPI was finalized before, or when it sees fewer ranks than PMI_SIZE,
 * OMPI_COMM_WORLD_SIZE or SLURM_NTASKS in the environment promise, as under another MPI's mpirun,
 * where each process would be a group of its own; CT_ERR_RANGE for more than CT_GROUP_MOST ranks;
 * CT_ERR_IO, CT_ERR_MEMORY. */
ct_group *ct_group_mpi(int *argc, char ***argv);

CT_C_END

#endif
