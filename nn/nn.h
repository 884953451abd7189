/* Everything of nn/ at once. Start with module.h, then layers.h. */
#ifndef COTAN_NN_H
#define COTAN_NN_H

#include <cotan/nn/attention.h>
#include <cotan/nn/claims.h>
#include <cotan/nn/gradcheck.h>
#include <cotan/nn/init.h>
#include <cotan/nn/layers.h>
#include <cotan/nn/loss.h>
#include <cotan/nn/metrics.h>
#include <cotan/nn/models.h>
#include <cotan/nn/module.h>
#include <cotan/nn/recurrent.h>
#include <cotan/nn/show.h>
#include <cotan/nn/weights.h>

#endif
