/* Training on several processes over socket pairs: the same bits for any number of them, those of
 * one process to rounding, files, and what stops one rank. What a rank does is in rank_*.c beside.
 * Invariant: nothing depends on how fast a rank is. */
#define COTAN_PROCESSES

#include "tests/support/rank.h"
#include "tests/support/test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static rank_result results[RANKS_MOST];

static void run(const char *scenario, int64_t argument, int size) {
    ranks_run(scenario, argument, size, results);
    for (int r = 0; r < size; r++) {
        EXPECT(rank_ended_well(&results[r]), "%s %lld: rank %d of %d: status %x: %s", scenario,
               (long long)argument, r, size, (unsigned)results[r].status, results[r].text);
    }
}

static void expect_text(int rank, const char *expected) {
    EXPECT(strcmp(results[rank].text, expected) == 0, "rank %d: \"%s\", not \"%s\"", rank,
           results[rank].text, expected);
}

static void expect_part(int rank, const char *part) {
    EXPECT(strstr(results[rank].text, part), "rank %d: no \"%s\" in \"%s\"", rank, part,
           results[rank].text);
}

/* Rank 1 of three, and the others. */
static void expect_each(const char *of_rank_1, const char *of_others) {
    for (int r = 0; r < 3; r++) expect_text(r, r == 1 ? of_rank_1 : of_others);
}

static void same_for_all_sizes(const char *scenario, int64_t argument) {
    static const int sizes[] = {1, 2, 3, 8};
    char first[sizeof results[0].text];
    for (int i = 0; i < 4; i++) {
        run(scenario, argument, sizes[i]);
        if (i == 0) memcpy(first, results[0].text, sizeof first);
        for (int r = 0; r < sizes[i]; r++) expect_text(r, first);
    }
    EXPECT(strstr(first, "epoch 45 items") && strstr(first, "slots"), "%s", first);
}

TEST(fit_ranks, the_study_has_the_same_bits_for_any_number_of_ranks) {
    same_for_all_sizes("trains", 1);
}

TEST(fit_ranks, random_numbers_and_windows_have_the_same_bits) { same_for_all_sizes("trains", 0); }

TEST(fit_ranks, the_result_is_that_of_one_process) {
    run("trains_as_one", 1, 2);
    run("trains_as_one", 0, 3);
    run("trains_as_one", 0, 8);
}

TEST(fit_ranks, a_step_late_in_a_training_is_that_of_one_process) {
    int64_t steps = 20 * support_scaled(10);
    run("steps_as_one", steps, 1);
    run("steps_as_one", steps, 2);
}

/* What a step of the study's network sums: gradients and the sums that BatchNorm needs, two forward
 * for each channel, while those of its backward pass are the gradients of gamma and beta; loss and
 * accuracy, and three flags of 8 bytes, by which all ranks go on. */
enum { PARAMETERS = 93556, STATISTICS = 2 * 234, OTHERS = 2 * 4 + 3 * 8 };
static const int64_t needed = 4 * (PARAMETERS + STATISTICS), summed = needed + OTHERS;

/* Of so many ranks; with heads, each may send this much of what is needed, and all this much. */
static void expect_sent(int size, int64_t times, double share) {
    long long payload, bytes, all_payload = 0, all_bytes = 0;
    run("sends", 0, size);
    for (int r = 0; r < size; r++) {
        REQUIRE(sscanf(results[r].text, "%lld of %lld", &payload, &bytes) == 2);
        EXPECT((double)bytes <= 1.01 * share * (double)needed, "rank %d of %d: %lld", r, size,
               bytes);
        all_payload += payload;
        all_bytes += bytes;
    }
    EXPECT(all_payload == times * summed, "%d ranks: %lld, not %lld", size, all_payload,
           (long long)(times * summed));
    EXPECT((double)all_bytes <= 1.01 * (double)(times * needed), "%d ranks: %lld", size, all_bytes);
}

TEST(fit_ranks, a_step_sends_gradients_and_statistics_once) {
    for (int size = 2; size <= 8; size *= 2)
        expect_sent(size, 2 * (size - 1), 2.0 * (size - 1) / size);
    /* As group.h says: so much from all ranks together, and from one up to three nodes' sums. */
    expect_sent(3, 5, 2);
    expect_sent(5, 9, 3);
    expect_sent(6, 10, 3);
    expect_sent(7, 12, 3);
}

/* --- Files ------------------------------------------------------------------------------------ */

static void remove_checkpoint(void) {
    char path[256];
    snprintf(path, sizeof path, "/tmp/cotan-ranks-%ld.safetensors", (long)getpid());
    unlink(path);
}

/* What the rest of an undisturbed training of so many ranks comes to. */
static void undisturbed(int size, char rest[64]) {
    run("trains", 0, size);
    const char *slots = strstr(results[0].text, "slots");
    REQUIRE(slots);
    snprintf(rest, 64, "2 steps more, %s", slots);
}

static void expect_resumed(int size, const char *rest) {
    run("resumes", 0, size);
    for (int r = 0; r < size; r++) expect_text(r, rest);
}

TEST(fit_ranks, a_checkpoint_goes_on_with_any_number_of_ranks) {
    char rest[64];
    undisturbed(1, rest);
    run("saves", 0, 3);
    for (int size = 1; size <= 4; size *= 2) expect_resumed(size, rest);
    run("loads_on_some", 0, 3);
    for (int r = 0; r < 3; r++) expect_text(r, "CT_ERR_IO, unchanged\nrefused\n");
    remove_checkpoint();
}

TEST(fit_ranks, where_a_rank_is_killed_the_last_checkpoint_goes_on_with_any_number_of_ranks) {
    char rest[64];
    undisturbed(4, rest);
    for (int victim = 0; victim < 4; victim++) {
        ranks_run("is_killed", victim, 4, results);
        for (int r = 0; r < 4; r++) {
            if (r != victim) {
                EXPECT(rank_ended_well(&results[r]), "rank %d: %x", r, (unsigned)results[r].status);
                expect_text(r, "CT_ERR_IO after 4 steps, slots of these\n");
                continue;
            }
            int status = results[r].status;
            EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%x", (unsigned)status);
        }
        for (int size = 1; size <= 4; size++) expect_resumed(size, rest);
        remove_checkpoint();
    }
}

TEST(fit_ranks, a_checkpoint_that_rank_0_cannot_write_is_an_error_on_all) {
    run("cannot_save", 0, 3);
    expect_part(0, "2 steps, early 0, CT_ERR_IO: ct_checkpoint_save: /nowhere");
    expect_text(1, "2 steps, early 0, CT_ERR_IO: ct_fit: rank 0 failed with CT_ERR_IO\n");
    expect_text(2, "2 steps, early 0, CT_ERR_IO: ct_fit: rank 0 failed with CT_ERR_IO\n");
}

TEST(fit_ranks, rank_0_alone_logs) {
    run("logs", 0, 3);
    expect_part(0, "epoch 1/1: 3 steps");
    expect_text(1, "");
    expect_text(2, "");
}

TEST(fit_ranks, several_ranks_draw_no_bar) {
    run("logs_on_a_terminal", 0, 1);
    expect_text(0, "bar 1, line 1\n");
    run("logs_on_a_terminal", 0, 2);
    expect_text(0, "bar 0, line 1\n");
    expect_text(1, "bar 0, line 0\n");
}

/* --- What stops one rank ---------------------------------------------------------------------- */

TEST(fit_ranks, all_stop_where_one_stops) {
    run("stops_early", 0, 3);
    for (int r = 0; r < 3; r++)
        expect_text(r, "2 steps, at 0/2, interrupted 0, early 1, CT_OK: , slots of whole steps\n");
}

TEST(fit_ranks, a_signal_to_one_rank_stops_all_after_the_same_step) {
    for (int64_t how = 0; how < 8; how++) {
        run("is_interrupted", how, 3);
        for (int r = 0; r < 3; r++) {
            expect_text(r,
                        "2 steps, at 0/2, interrupted 1, early 0, CT_OK: , slots of whole steps\n");
        }
    }
}

TEST(fit_ranks, an_error_on_one_rank_is_one_on_all_and_changes_nothing) {
    run("loses_data", 0, 3);
    expect_each("1 steps CT_ERR_IO: rank 1 found no file, slots of whole steps\n",
                "1 steps CT_ERR_IO: ct_fit: rank 1 failed with CT_ERR_IO, slots of whole steps\n");
    run("loses_data_before_an_evaluation", 0, 3);
    expect_each("1 steps CT_ERR_IO: rank 1 found no file, slots of whole steps\n",
                "1 steps CT_ERR_IO: ct_item: rank 1 failed with CT_ERR_IO, slots of whole steps\n");
    run("steps_without_loss", 0, 2);
    expect_part(0, "rank 1 failed with");
    expect_part(0, "slots of whole steps");
    expect_part(1, "ct_optimizer_step: 'loss' is NULL, slots of whole steps");
}

TEST(fit_ranks, a_step_that_sums_nothing_on_one_rank_leaves_the_group_in_step) {
    for (int size = 2; size <= 4; size++) {
        run("sums_nothing", 0, size);
        run("sums_nothing", 1, size);
    }
}

static const char chosen[] = "a callback has chosen another current group, or none; it stays the "
                             "one before";

TEST(fit_ranks, what_changes_the_group_on_one_rank_is_an_error_on_all) {
    char own[256], others[256];
    for (int64_t how = 0; how < 12; how++) {
        bool leaves = how % 4 >= 2;
        run("changes_the_group", how, 3);
        snprintf(own, sizeof own, "2 steps CT_ERR_STATE: ct_fit: %s, slots of whole steps\n",
                 leaves ? "a callback has freed the current group" : chosen);
        snprintf(others, sizeof others,
                 "2 steps CT_ERR_STATE: ct_fit: rank 1 %s, slots of whole "
                 "steps\n",
                 leaves ? "has left the group" : "failed with CT_ERR_STATE");
        expect_each(own, others);
    }
    for (int64_t how = 0; how < 4; how++) {
        bool leaves = how >= 2;
        run("changes_the_group_in_an_evaluation", how, 3);
        snprintf(own, sizeof own, "CT_ERR_STATE: ct_evaluate: %s\n",
                 leaves ? "a callback has freed the current group" : chosen);
        snprintf(others, sizeof others, "CT_ERR_STATE: ct_evaluate: rank 1 %s\n",
                 leaves ? "has left the group" : "failed with CT_ERR_STATE");
        expect_each(own, others);
    }
}

TEST(fit_ranks, functions_that_go_astray_on_one_rank_leave_the_group_in_step) {
    for (int size = 2; size <= 4; size++) {
        run("functions_go_astray", 0, size);
        run("functions_go_astray", 1, size);
    }
}

TEST(fit_ranks, a_failure_of_which_a_callback_takes_no_notice_ends_no_training) {
    run("callback_takes_no_notice", 0, 3);
}

TEST(fit_ranks, a_step_without_memory_on_one_rank_is_one_of_all_or_of_none) {
    run("step_without_memory", 0, 2);
    run("step_without_memory", 1, 3);
}

TEST(fit_ranks, what_exchanges_nothing_without_memory_on_one_rank_leaves_the_group_as_it_was) {
    run("evaluates_without_memory", 0, 2);
    run("evaluates_without_memory", 1, 3);
}

TEST(fit_ranks, rows_without_memory_on_one_rank_leave_the_group_as_it_was) {
    for (int rank = 0; rank < 3; rank++) run("varies_without_memory", rank, 3);
}

TEST(fit_ranks, a_training_without_memory_on_one_rank_is_whole_steps_on_all) {
    run("fits_without_memory", 1, 2);
    run("fits_without_memory", 0, 3);
}

static void for_ranks_in_turn(const char *scenario) {
    for (int size = 2; size <= 3; size++) {
        for (int rank = 0; rank < size; rank++) run(scenario, rank, size);
    }
}

TEST(fit_ranks, a_step_that_meets_another_call_leaves_the_group_in_step) {
    for_ranks_in_turn("calls_something_else");
}

TEST(fit_ranks, what_is_drawn_after_a_failed_step_is_the_same_on_all_ranks) {
    char first[sizeof results[0].text];
    static const int sizes[] = {2, 3, 8};
    for (int i = 0; i < 3; i++) {
        run("draws_for_samples", sizes[i] - 1, sizes[i]);
        if (i == 0) memcpy(first, results[0].text, sizeof first);
        for (int r = 0; r < sizes[i]; r++) expect_text(r, first);
    }
}

TEST(fit_ranks, no_key_is_drawn_twice_after_an_error) {
    run("draws_no_key_twice", 0, 1);
    for_ranks_in_turn("draws_no_key_twice");
    for (int rank = 0; rank < 8; rank++) run("draws_no_key_twice", rank, 8);
}

TEST(fit_ranks, an_error_changes_no_key_where_all_have_drawn_as_many) {
    char first[sizeof results[0].text];
    run("draws_as_without_an_error", 8, 1);
    memcpy(first, results[0].text, sizeof first);
    static const struct {
        int argument, size;
    } cases[] = {{0, 1}, {8, 2}, {0, 2}, {1, 2}, {1, 3}, {6, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run("draws_as_without_an_error", cases[i].argument, cases[i].size);
        for (int r = 0; r < cases[i].size; r++) expect_text(r, first);
    }
}

TEST(fit_ranks, files_and_copies_have_the_key_that_is_drawn_next) {
    for_ranks_in_turn("keys_are_kept");
}

TEST(fit_ranks, a_rank_that_leaves_takes_no_key_away) { for_ranks_in_turn("keys_after_one_left"); }

TEST(fit_ranks, ranks_that_went_apart_within_a_training_draw_alike_after_it) {
    for_ranks_in_turn("fits_apart");
    for (int rank = 0; rank < 5; rank++) run("fits_apart", rank, 5);
    run("fits_apart", 6, 8);
}

TEST(fit_ranks, ranks_of_which_one_was_not_in_the_step_draw_alike_from_the_next_call_on) {
    for_ranks_in_turn("steps_without_one");
    for (int rank = 0; rank < 5; rank++) run("steps_without_one", rank, 5);
    run("steps_without_one", 6, 8);
}

TEST(fit_ranks, ranks_that_drew_as_many_keys_of_other_layers_draw_alike_after_an_error) {
    for_ranks_in_turn("draws_of_other_layers");
    run("draws_of_other_layers", 6, 8);
}

TEST(fit_ranks, a_best_epoch_that_one_rank_cannot_measure_or_keep_is_one_of_none) {
    for_ranks_in_turn("stops_without_a_value");
    for_ranks_in_turn("stops_without_memory");
    for_ranks_in_turn("begins_without_memory");
}

TEST(fit_ranks, other_options_that_decide_which_weights_are_left_are_refused) {
    for_ranks_in_turn("fits_by_other_rules");
    for_ranks_in_turn("fits_by_other_batches");
}

TEST(fit_ranks, weights_of_the_best_epoch_that_one_rank_alone_holds_are_given_back_to_none) {
    for_ranks_in_turn("holds_the_best_alone");
}

TEST(fit_ranks, losses_that_differ_between_ranks_end_a_training) {
    for_ranks_in_turn("measures_shards");
}

TEST(fit_ranks, rows_of_a_ranks_own_that_do_not_vary_are_trained_on_by_none) {
    for (int size = 1; size < 4; size++) run("trains_on_own_rows", 0, size);
}

TEST(fit_ranks, a_step_on_another_batch_than_the_other_ranks_is_refused) {
    for_ranks_in_turn("loses_a_batch");
}

TEST(fit_ranks, what_was_measured_is_told_to_all_or_to_none) {
    for_ranks_in_turn("measures_without_memory");
}

TEST(fit_ranks, the_end_of_a_round_without_memory_on_one_rank_is_one_of_all_or_of_none) {
    for_ranks_in_turn("rounds_without_memory");
}

TEST(fit_ranks, a_step_with_other_random_keys_is_refused_and_the_next_goes_on) {
    for_ranks_in_turn("draws_alone");
    for (int rank = 0; rank < 7; rank++) run("draws_alone", rank, rank < 4 ? 5 : 8);
}

TEST(fit_ranks, a_step_in_a_callback_that_fails_ends_no_training) {
    for_ranks_in_turn("steps_in_a_callback");
}

TEST(fit_ranks, a_flush_without_memory_on_one_rank_is_one_of_all_or_of_none) {
    for_ranks_in_turn("flushes_without_memory");
}

TEST(fit_ranks, a_flush_of_nothing_on_one_rank_leaves_the_group_in_step) {
    run("flushes_nothing", 1, 2);
    run("flushes_nothing", 1000, 3);
}

TEST(fit_ranks, a_rule_that_agrees_on_something_else_is_no_agreement_on_the_step) {
    for_ranks_in_turn("rule_loads_weights");
}

TEST(fit_ranks, a_rank_that_says_diverged_before_a_step_leaves_the_histories_alike) {
    run("says_diverged", 0, 3);
    expect_each("1 steps CT_ERR_DIVERGED: rank 1 has had enough, slots of whole steps\n",
                "1 steps CT_ERR_DIVERGED: ct_fit: rank 1 failed with CT_ERR_DIVERGED, slots of "
                "whole steps\n");
}

#define NO_NUMBER "ct_fit: loss is nan at step 1, in epoch 1: "

TEST(fit_ranks, all_ranks_say_whose_batch_is_not_finite) {
    run("has_no_number", 5, 1);
    expect_text(0, NO_NUMBER "x of its batch is nan in row 5, element 11; allow_nonfinite goes "
                             "on\n");
    run("has_no_number", 5, 3);
    expect_each(NO_NUMBER "x of its batch is nan in row 2, element 5, of rank 1; allow_nonfinite "
                          "goes on\n",
                NO_NUMBER "the batch of rank 1 is not finite; allow_nonfinite goes on\n");
}

/* --- Objectives and callbacks that evaluate --------------------------------------------------- */

TEST(fit_ranks, an_evaluation_without_data_on_one_rank_leaves_the_group_in_step) {
    for (int64_t how = 0; how < 6; how++) {
        run("evaluates_without_data", how, 3);
        expect_text(1, "evaluated CT_ERR_IO: rank 1 found no file\n"
                       "validated CT_ERR_IO: rank 1 found no file\n"
                       "fitted CT_ERR_IO: rank 1 found no file\n");
        for (int r = 0; r < 3; r += 2) {
            expect_text(r, "evaluated CT_ERR_IO: ct_item: rank 1 failed with CT_ERR_IO\n"
                           "validated CT_ERR_IO: ct_item: rank 1 failed with CT_ERR_IO\n"
                           "fitted CT_ERR_IO: ct_item: rank 1 failed with CT_ERR_IO\n");
        }
    }
}

TEST(fit_ranks, data_that_evaluate_and_are_lost_on_one_rank_leave_the_group_in_step) {
    for (int64_t batch = 0; batch < 3; batch++) {
        run("fits_without_data", batch, 3);
        expect_text(1, "fitted CT_ERR_IO: rank 1 found no file\n"
                       "evaluated CT_ERR_IO: rank 1 found no file\n");
        for (int r = 0; r < 3; r += 2) {
            expect_text(r, "fitted CT_ERR_IO: ct_item: rank 1 failed with CT_ERR_IO\n"
                           "evaluated CT_ERR_IO: ct_item: rank 1 failed with CT_ERR_IO\n");
        }
    }
}

TEST(fit_ranks, a_training_that_one_rank_leaves_is_an_error_on_the_others) {
    run("fits_without_a_rank", 0, 3);
    for (int r = 0; r < 3; r += 2) {
        expect_text(r, "fitted CT_ERR_STATE: ct_fit: rank 1 has left the group\n"
                       "evaluated CT_ERR_STATE: ct_evaluate: rank 1 has left the group\n");
    }
}

TEST(fit_ranks, an_evaluation_without_a_model_on_one_rank_is_one_on_none) {
    run("evaluates_without_model", 0, 2);
    expect_text(1, "evaluated CT_ERR_NULL: ct_evaluate: 'model' is NULL\n"
                   "evaluated CT_ERR_NULL: ct_evaluate_with: 'result' is NULL\n");
    expect_text(0, "evaluated CT_ERR_NULL: ct_evaluate: rank 1 failed with CT_ERR_NULL\n"
                   "evaluated CT_ERR_NULL: ct_evaluate_with: rank 1 failed with CT_ERR_NULL\n");
}

TEST(fit_ranks, what_stops_one_rank_in_a_validation_stops_all) {
    for (int64_t batch = 0; batch < 3; batch++) {
        run("stops_in_a_validation", batch, 3);
        for (int r = 0; r < 3; r++) expect_text(r, "1 epochs, interrupted 1 fitted CT_OK: \n");
    }
}

TEST(fit_ranks, evaluations_without_memory_on_one_rank_leave_the_group_in_step) {
    for (int64_t how = 0; how < 4; how++) run("evaluates_all_over_without_memory", how, 2);
}

TEST(fit_ranks, a_skipped_step_without_memory_on_one_rank_is_one_of_all_or_of_none) {
    for (int64_t how = 0; how < 4; how++) run("skips_without_memory", how, how < 2 ? 2 : 3);
}

TEST(fit_ranks, all_draw_the_same_after_an_error_on_one_rank) {
    run("draws_after_failures", 0, 2);
    run("draws_after_failures", 1, 3);
}

TEST(fit_ranks, keys_without_any_memory_on_one_rank_leave_the_group_in_step) {
    run("draws_without_any_memory", 0, 2);
    run("draws_without_any_memory", 1, 3);
}

TEST(fit_ranks, ranks_begin_alike) {
    run("begins_otherwise", 0, 2);
    expect_part(1, "ct_fit: rank 1 begins with other values in the slots");
    expect_part(1, "slots of whole steps");
    expect_part(0, "rank 1 failed with CT_ERR_STATE, slots of whole steps");
}
