/* The BatchNorm study: what its parts share. One small network is trained with and without
 * BatchNorm; a setting is an activation and a learning rate, and has one run of each. */
#ifndef EXAMPLES_BN_STUDY_H
#define EXAMPLES_BN_STUDY_H

#include "options.h"
#include "program.h"

#include <cotan/cotan.h>

typedef struct {
    const char *data;             /* NULL: COTAN_DATA, the cache, or the built-in digits */
    const char *activation;       /* NULL: both */
    double rate;                  /* 0: those of the original */
    const char *batch_norm;       /* "on", "off", "both" */
    int64_t epochs, steps;        /* steps 0: no limit */
    int64_t batch, seed, threads; /* threads 0: as many as there are */
    const char *out;
    bool quiet;
} study_options;

/* Validation at one moment of a run. */
typedef struct {
    int64_t step; /* 0: before training */
    double loss, accuracy;
    bool all_images; /* at the end of an epoch; otherwise the first of them */
} study_point;

/* How the trained network treats the same images in the company of others. */
typedef struct {
    double training, inference; /* the largest difference of a probability */
    bool moved;                 /* evaluation changed a parameter or a statistic */
} study_modes;

typedef struct {
    bool ran;
    ct_history history;
    double *seconds; /* of each epoch, training alone */
    study_point *points;
    int64_t n_points;
    double ms_per_step; /* the median; NaN when too few steps were made */
    study_modes modes;  /* NaN where nothing was measured */
} study_run;

enum { WITHOUT, WITH };
typedef struct {
    const ct_activation *activation;
    double rate;
    study_run run[2]; /* without and with BatchNorm */
} study_setting;

/* The middle half of what was measured: quartiles and median. */
typedef struct {
    double low, median, high;
} study_spread;

/* Steps of both networks that took turns. */
typedef struct {
    const ct_activation *activation;
    int64_t pairs;          /* of steps */
    study_spread ms[2];     /* without and with BatchNorm */
    study_spread ratio;     /* with / without, of the pairs */
    int64_t slower, faster; /* pairs whose ratio is above 1, and below */
} study_cost;

#define STUDY_SETTINGS 4
#define STUDY_STEPS_LEFT_OUT 10 /* of the time per step: they fill caches and plans */
#define STUDY_VALIDATION_PART 1000

typedef struct {
    study_options options;
    ct_dataset *data;
    ct_source *train, *test, *part; /* part: the first STUDY_VALIDATION_PART test images */
    int64_t steps_per_epoch;
    study_setting settings[STUDY_SETTINGS];
    int n_settings;
    study_cost costs[STUDY_SETTINGS]; /* one for each activation */
    int n_costs;
    bool interrupted; /* before the end, on any rank */
} study;

/* bn_study.c: prints the library's error and returns the exit status that belongs to it. */
int study_failed(void);
/* An exit status of which all ranks know: 0 if it is that on all of them. */
int study_agree(int status);
/* Where the images come from and how many there are: "built-in digits: 60000 training and ...". */
typedef struct {
    char text[400];
} study_data;
study_data study_data_of(const study *s);

/* bn_study_model.c: the network of the study, ct_digits_cnn_new(). NULL on error. */
ct_module *study_model(const ct_activation *activation, bool batch_norm);
/* The numbers that training changes, and those that it only follows. */
ct_status study_count(ct_module *model, int64_t *trained, int64_t *followed);
ct_status study_modes_measure(const study *s, ct_module *model, study_modes *modes);

/* bn_study_cost.c: measures s->costs, for which both kinds must have run; about a second each. */
ct_status study_costs_measure(study *s);
/* Of n >= 0 values, which are sorted; NaN for none. */
study_spread study_spread_of(double *values, int64_t n);

/* bn_study_train.c: trains one network; what was measured stays, also after an error. */
ct_status study_train(const study *s, const study_setting *setting, bool batch_norm,
                      study_run *run);
/* Whether what layers do is looked at: a monitor looks at one process. */
bool study_monitors(const study *s);
/* How many epochs were trained to their end. */
int64_t study_whole_epochs(const study *s, const study_run *run);
/* Of a clock that only goes forward. */
double study_seconds(void);
/* "layers/relu_0.001_with": where the monitor of a run writes, below the output folder. */
typedef struct {
    char text[64];
} study_name;
study_name study_layers_name(const study_setting *setting, int k);

/* bn_study_verdicts.c: the original's conclusions, held against this study's numbers. */
typedef struct {
    const char *claim;
    const char *answer; /* "yes", "partly", "no", "unsure", "not shown by these runs" */
    char figures[1024];
} study_verdict;
#define STUDY_VERDICTS 5
void study_judge(const study *s, study_verdict out[STUDY_VERDICTS]);

/* The rest returns 0 or the exit status, after a message. */

/* bn_study_results.c: the table for people, results.json and history.csv for programs. */
void study_print(const study *s, const study_verdict verdicts[STUDY_VERDICTS]);
int study_results_save(const study *s);
/* The epochs that fit in a table: from *first on. Returns how many. */
int64_t study_shown_epochs(const study *s, int64_t *first);

/* bn_study_curves.c and bn_study_pictures.c: files that others draw. */
int study_curves_save(const study *s);
int study_pictures_save(const study *s);
/* "accuracy_relu_0.001": the files' name without an ending. */
study_name study_curve_name(const study_setting *setting);
/* Runs gnuplot for BASE.gp, which makes BASE.svg and BASE.png. */
int study_curve_draw(const study *s, const char *base);

/* bn_study_layers.c: what layers do, from what the monitor has written. */
int study_layers_save(const study *s);
/* Removes what an earlier study has written there. */
void study_layers_clear(const study *s);

/* bn_study_ranks.c: joins the ranks that mpirun has started, for the caller to free; NULL where the
 * study is one process, or with the library's error. */
ct_group *study_join(int *argc, char ***argv);
/* Whether this process writes files and prints. */
bool study_writes(void);
/* Whether a signal has come, to any rank; all call it. */
bool study_interrupted(void);

/* bn_study_report.c: everything on one page. */
int study_report_save(const study *s, const study_verdict verdicts[STUDY_VERDICTS]);

/* bn_study_files.c: the output folder, files in it, and other programs. */
int study_folder_make(const char *folder);
/* Writes a whole file or, after an error, leaves none. */
int study_file_save(const study *s, const char *name, const char *text, size_t length);
/* Removes a file that an earlier study may have left. */
void study_file_remove(const study *s, const char *base, const char *ending);
/* Text that is made with fprintf: open, write to `out`, save. It stays where it was opened. */
typedef struct {
    FILE *out;
    char *text;
    size_t length;
} study_text;
bool study_text_open(study_text *text);
int study_text_save(const study *s, study_text *text, const char *name);
/* A whole file that ends in `tail` and newlines, else NULL. The caller frees it. */
char *study_file_read(const study *s, const char *name, const char *tail, size_t *length);
typedef enum { TOOL_DONE, TOOL_MISSING, TOOL_BROKEN } tool_result;
/* Runs a program in the output folder, without a shell, for at most a minute. */
tool_result study_tool_run(const study *s, char *const arguments[]);

/* bn_study_curves.c: ends a block of a data file, with a line that has no numbers: gnuplot does not
 * count a block without lines, and took the next one for it. */
void study_block_end(FILE *out);
/* Opens text that gnuplot reads to draw BASE.svg and BASE.png, with what our pictures have in
 * common. */
bool study_script_open(study_text *text, const char *base);
/* What follows is drawn so large, into BASE.svg or BASE.png. */
void study_script_svg(FILE *out, const char *base, int width, int height);
void study_script_png(FILE *out, const char *base, int width, int height);

#endif
