/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "release/runs.h"

/* Fails the test with the error's text. */
#define assert_ok(call)                                    \
	do {                                               \
		struct err *_e = (call);                   \
		if (_e)                                    \
			fail_with(_e, __FILE__, __LINE__); \
	} while (0)
/* Of this kind, and with this text in it. */
#define assert_err(call, kind, text) expect_err((call), (kind), (text), __FILE__, __LINE__)
void fail_with(struct err *e, const char *file, int line);
void expect_err(struct err *e, enum err_kind kind, const char *text, const char *file, int line);

/* cmocka fixtures: *state is a fresh directory's path, removed at the end. */
int make_runs_home(void **state);
int drop_runs_home(void **state);
#define HOME_TEST(f) cmocka_unit_test_setup_teardown(f, make_runs_home, drop_runs_home)

struct runs *open_runs(const char *home);
/* A run of "web" with a dockerfile job for label k8s and, when both, a nix job; version makes the tags. */
int64_t add_run(struct runs *r, enum run_via via, const char *version, bool both);
/* The next job of the run (0: any), which must be there (want) or not. */
struct claimed_job claim_job(struct runs *r, enum run_via via, int64_t number, bool want);
void append_text(struct runs *r, const struct claimed_job *c, uint64_t offset, const char *text);
void finish_job(struct runs *r, const struct claimed_job *c, enum job_status status, const char *error);
struct run get_run(struct runs *r, int64_t number);
struct job get_job(struct runs *r, int64_t number, uint32_t index);
/* Status, and error in parentheses if there is one. Caller frees. */
char *job_state(struct runs *r, int64_t number, uint32_t index);
void assert_state(struct runs *r, int64_t number, uint32_t index, const char *want);
/* The whole log. Caller frees. */
char *whole_log(struct runs *r, int64_t job_id, bool *finished);
