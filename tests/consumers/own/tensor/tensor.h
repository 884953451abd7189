/* A user's header that happens to be called as one of cotan's. */
#ifndef OWN_TENSOR
#define OWN_TENSOR
#endif
