/* Private: i64 for element.h. Its arithmetic wraps, so it is that of unsigned numbers; a comparison
 * alone has to see the sign. */
#ifndef COTAN_ELEMENT_I64_H
#define COTAN_ELEMENT_I64_H

typedef uint64_t element;
typedef int64_t place;

#define ADD(a, b) ((a) + (b))
#define SUB(a, b) ((a) - (b))
#define MUL(a, b) ((a) * (b))
#define STAYS(best, next) ((int64_t)(best) >= (int64_t)(next))
#define LOWEST ((element)INT64_MIN)
#define ZERO ((element)0)
#define WHOLE(n) ((element)(n))
#define VECTOR __attribute__((vector_size(32), aligned(sizeof(element)), may_alias))

#endif
