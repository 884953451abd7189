/* What the public headers say differently in C and in C++ (from C++11 on).
 *
 * The library is C; its headers are read by both. What C writes as a compound literal, such as
 * (int[]){1, 2}, C++ does not have: there a template makes a value that lives as long as the
 * expression it stands in, and converts the elements as C does. */
#ifndef COTAN_LANGUAGE_H
#define COTAN_LANGUAGE_H

#ifdef __cplusplus

#include <initializer_list>

#define CT_C_BEGIN extern "C" {
#define CT_C_END }

template <class Element, int count> struct cti_array { Element items[count]; };

template <class Element, class... Values>
inline cti_array<Element, sizeof...(Values)> cti_array_of(Values... values) {
    return {{static_cast<Element>(values)...}};
}

template <class Counted, class Element, class... Values>
inline Counted cti_counted_of(Values... values) {
    return {static_cast<int>(sizeof...(Values)), {static_cast<Element>(values)...}};
}

/* In braces, because what stands there is evaluated from left to right. */
#define CTI_LIST(element, ...) (std::initializer_list<element>{__VA_ARGS__}.begin())
#define CTI_COUNT(element, ...) (sizeof(cti_array_of<element>(__VA_ARGS__)) / sizeof(element))
#define CTI_COUNTED(type, element, ...) cti_counted_of<type, element>(__VA_ARGS__)
#define CTI_STRUCT(type, ...) (type{__VA_ARGS__})

#else

#define CT_C_BEGIN
#define CT_C_END

/* An array for as long as the call that it is an argument of, and the number of its elements. */
#define CTI_LIST(element, ...) ((element[]){__VA_ARGS__})
#define CTI_COUNT(element, ...) (sizeof((element[]){__VA_ARGS__}) / sizeof(element))
/* A struct of an int that counts and an array. */
#define CTI_COUNTED(type, element, ...) \
    ((type){(int)CTI_COUNT(element, __VA_ARGS__), {__VA_ARGS__}})
/* A struct from the values of its members. */
#define CTI_STRUCT(type, ...) ((type){__VA_ARGS__})

#endif

#endif
