/* Private: what documents of reports share. */
#ifndef COTAN_VERIFY_DOCUMENTS_H
#define COTAN_VERIFY_DOCUMENTS_H

#include "autograd/verify.h"
#include "tensor/io/xml.h"

typedef void cti_document(cti_writer *out, const ct_verify_report *reports, int64_t n);

/* Checks the arguments of the public function, makes the document and writes it. */
ct_status cti_write_document(const char *function, FILE *out, const ct_verify_report *reports,
                             int64_t n, cti_document *document);
bool cti_all_passed(const ct_verify_report *reports, int64_t n);
/* What is wrong in numbers, in a sentence; empty where all rows passed. */
ct_verify_line cti_first_difference(const ct_verify_report *report);
/* A column's number, "-" where there is none. */
typedef struct {
    char text[16];
} cti_column;
cti_column cti_column_shown(double value);
/* "equal" in the field, or not. */
const char *cti_exact_word(const ct_verify_row *row);
const char *cti_verdict(const ct_verify_report *report);
/* Of f64, of an order or, with 0, of all. */
double cti_worst_error(const ct_verify_report *report, int order);

#endif
