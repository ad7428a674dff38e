/* SPDX-License-Identifier: Apache-2.0 */
#include "runs_fixture.h"

#include "sys/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

void fail_with(struct err *e, const char *file, int line)
{
	AUTO_FREE char *text = err_trace(e);
	err_free(e);
	print_error("%s:%d: %s\n", file, line, text);
	_fail(file, line);
}

void expect_err(struct err *e, enum err_kind kind, const char *text, const char *file, int line)
{
	AUTO_FREE char *all = e ? err_text(e) : mem_strdup("success");
	bool ok = err_kind(e) == kind && strstr(all, text);
	err_free(e);
	if (ok)
		return;
	print_error("%s:%d: not an error of this kind with \"%s\": %s\n", file, line, text, all);
	_fail(file, line);
}

int make_runs_home(void **state)
{
	char path[] = "/tmp/cooper-runs-XXXXXX";
	if (!mkdtemp(path))
		return -1;
	*state = mem_strdup(path);
	return 0;
}

int drop_runs_home(void **state)
{
	err_ignore(tree_remove(AT_FDCWD, *state), "test end");
	free(*state);
	return 0;
}

struct runs *open_runs(const char *home)
{
	struct runs *r = NULL;
	assert_ok(runs_open(home, &r));
	return r;
}

static void add_job(struct run *run, const char *kind, const char *label, const char *version)
{
	struct job *j = vec_push(&run->jobs);
	j->kind = mem_strdup(kind);
	j->version = mem_strdup(version);
	j->tag = mem_printf("v%s-0123456%s", version, strcmp(kind, "nix") == 0 ? "-nix" : "");
	j->reference = mem_printf("127.0.0.1:5000/lab/web:%s", j->tag);
	j->label = mem_strdup(label);
}

int64_t add_run(struct runs *r, enum run_via via, const char *version, bool both)
{
	AUTO(run_fini) struct run spec = {.via = via, .jobs = VEC_OF(struct job)};
	int64_t number = 0;

	spec.repository = mem_strdup("https://forge.example/me/lab");
	spec.container = mem_strdup("web");
	spec.commit = mem_strdup("0123456789abcdef0123456789abcdef01234567");
	spec.ref = mem_strdup("main");
	spec.subject = mem_strdup("a change");
	spec.requested_by = mem_strdup("me@here");
	add_job(&spec, "dockerfile", "k8s", version);
	if (both)
		add_job(&spec, "nix", "nix-container-builder", version);
	assert_ok(runs_add(r, &spec, &number));
	return number;
}

struct claimed_job claim_job(struct runs *r, enum run_via via, int64_t number, bool want)
{
	struct run_claim c = {.runner = "runner-1", .via = via, .number = number};
	struct claimed_job out = {0};
	bool found = false;

	assert_ok(runs_claim(r, &c, &out, &found));
	assert_int_equal(found, want);
	return out;
}

void append_text(struct runs *r, const struct claimed_job *c, uint64_t offset, const char *text)
{
	uint64_t size = 0;

	assert_ok(runs_log_append(r, c->job.id, c->lease, offset, str_c(text), &size));
	assert_int_equal(size, offset + strlen(text));
}

void finish_job(struct runs *r, const struct claimed_job *c, enum job_status status, const char *error)
{
	struct job_result result = {
		.status = status,
		.digest = status == JOB_SUCCESS ? (char *)DIGEST : NULL,
		.error = (char *)error,
	};

	assert_ok(runs_finish(r, c->job.id, c->lease, &result));
}

struct run get_run(struct runs *r, int64_t number)
{
	struct run run = {0};
	assert_ok(runs_get(r, number, &run));
	return run;
}

struct job get_job(struct runs *r, int64_t number, uint32_t index)
{
	struct job j = {0};
	assert_ok(runs_get_job(r, number, index, &j));
	return j;
}

char *job_state(struct runs *r, int64_t number, uint32_t index)
{
	AUTO(job_fini) struct job j = get_job(r, number, index);
	return j.error ? mem_printf("%s (%s)", job_status_name(j.status), j.error)
		       : mem_strdup(job_status_name(j.status));
}

void assert_state(struct runs *r, int64_t number, uint32_t index, const char *want)
{
	AUTO_FREE char *state = job_state(r, number, index);
	assert_string_equal(state, want);
}

char *whole_log(struct runs *r, int64_t job_id, bool *finished)
{
	AUTO_BUF struct buf all = {0};
	char piece[7];
	size_t len;

	do {
		len = sizeof(piece);
		assert_ok(runs_log_read(r, job_id, all.len, piece, &len, finished));
		buf_add(&all, piece, len);
	} while (len);
	buf_adds(&all, "");
	return mem_strdup(buf_cstr(&all));
}
