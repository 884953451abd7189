/* The formulas of normalizations and of the softmax cross-entropy, as textbooks have them.
 * They compute nothing; compose/ does, and gives its tensors the names that stand here.
 * Invariant: the rows of a formula are in the order in which they are computed. */
#include "autograd/formulas.h"

#define FORMULA(symbol, title) \
    const ct_formula ct_formula_##symbol = {title, symbol, sizeof symbol / sizeof *symbol}

static const ct_term batch_norm[] = {
    {"mean", "μ = Σ x / m", "dx = dc + dμ / m", "+ dμ / m"},
    {"centred", "c = x − μ", "dμ = −Σ dc", NULL},
    {"variance", "σ² = Σ c² / m + ε", "dc += 2 c dσ² / m", "+ 2 c dσ² / m"},
    {NULL, "y = γ c / σ + β",
     "dc = γ dy / σ, dσ² = −½ γ Σ dy c / σ³, "
     "dγ = Σ dy c / σ, dβ = Σ dy",
     "dx = γ dy / σ"},
};
FORMULA(batch_norm, "BatchNorm");

/* γ is of the values that are averaged over. */
static const ct_term layer_norm[] = {
    {"mean", "μ = Σ x / m", "dx = dc + dμ / m", "+ dμ / m"},
    {"centred", "c = x − μ", "dμ = −Σ dc", NULL},
    {"variance", "σ² = Σ c² / m + ε", "dc += 2 c dσ² / m", "+ 2 c dσ² / m"},
    {NULL, "y = γ c / σ + β",
     "dc = γ dy / σ, dσ² = −½ Σ γ dy c / σ³, "
     "dγ = Σ dy c / σ, dβ = Σ dy",
     "dx = γ dy / σ"},
};
FORMULA(layer_norm, "LayerNorm");

static const ct_term cross_entropy[] = {
    {"shifted", "z = x − max x", "dx = dz", NULL},
    {"log_sum", "s = ln Σ exp z", "dz += ds exp z / Σ exp z", "+ ds exp z / Σ exp z"},
    {"log_softmax", "l = z − s", "dz = dl, ds = −Σ dl", NULL},
    {NULL, "loss = −Σ t l / N", "dl = −t / N", "dx = −t / N"},
};
FORMULA(cross_entropy, "softmax cross-entropy");
