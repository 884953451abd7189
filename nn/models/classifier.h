/* Private: the options that models which classify images have in common. */
#ifndef COTAN_CLASSIFIER_H
#define COTAN_CLASSIFIER_H

#include "nn/models.h"
#include "nn/options_private.h"

/* Sets what was left out, for a constructor; `channels` is what images usually have. */
static inline ct_status cti_complete_classifier(const char *function, ct_classifier_options *o,
                                                int64_t channels) {
    if (!o->channels) o->channels = channels;
    if (!o->classes) o->classes = 10;
    ct_status status = cti_check_size(function, "channels", o->channels);
    return status == CT_OK ? cti_check_size(function, "classes", o->classes) : status;
}

#endif
