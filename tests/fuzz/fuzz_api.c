/* SPDX-License-Identifier: Apache-2.0 */
/* What the API takes from the wire: the first byte says which parser gets the rest. */
#include "base/clock.h"
#include "base/mem.h"
#include "release/run_json.h"
#include "server/api_body.h"
#include "server/api_internal.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void path(const char *text)
{
	struct api_path p;
	AUTO_BUF struct buf allowed = {0};
	const struct api_route *r = api_route_find("GET", text, &p, &allowed);
	if (r)
		assert(p.run >= 0 && p.job >= 0 && p.name.len <= 64);
	else
		assert(!p.run && !p.job && !p.name.len);
	uint64_t n = 1;
	struct err *e = api_number(text, "n", 1, 100, &n);
	assert(n >= 1 && n <= 100);
	err_free(e);
}

static void header(const char *text)
{
	AUTO_BUF struct buf token = {0};
	if (!auth_read_header(text, &token))
		assert(!token.len);
	(void)auth_listen_is_loopback(text);
}

/* Scopes give no more than the token has, and what was granted is what the bearer token says. */
static void scope(const char *text)
{
	static const struct bearer_key key = {.text = "fuzz"};
	const struct token t = {.scopes = SCOPE_PULL};
	AUTO(grants_fini) struct grants asked, read, foreign;
	AUTO_BUF struct buf bearer = {0};
	char id[TOKEN_ID_LEN + 1];
	grants_init(&asked);
	grants_init(&read);
	grants_init(&foreign);
	grants_add_scope(&asked, &t, str_c(text));
	bearer_write(&key, "0123456789ab", 10 * CLOCK_SECOND, &asked, &bearer);
	bool ok = bearer_read(&key, buf_str(&bearer), 0, id, &read);
	assert(ok && read.list.len <= asked.list.len && asked.list.len <= GRANTS_MAX);
	for (size_t i = 0; i < read.list.len; i++) {
		const struct grant *one = vec_at(&read.list, i);
		assert(one->rights == RIGHT_PULL && grants_of(&asked, one->repository) == RIGHT_PULL);
	}
	AUTO_FREE char *shown = mem_printf(BEARER_PREFIX "%s", text);
	ok = bearer_read(&key, str_c(shown), 0, id, &foreign);
	assert(!ok);
}

static void token_body(const json_t *o)
{
	struct token_request t = {0};
	struct err *e = body_token(o, &t);
	if (!e)
		assert(t.token.name && t.lasts >= 0);
	err_free(e);
	token_request_fini(&t);
}

static void other_body(char which, const json_t *o)
{
	AUTO(run_fini) struct run run = {0};
	AUTO(claim_request_fini) struct claim_request claim = {0};
	AUTO(job_result_fini) struct job_result result = {0};
	struct err *e = which == 'r'   ? body_run(o, &run)
			: which == 'c' ? body_claim(o, &claim)
				       : body_result(o, &result);
	if (!e && which == 'r')
		assert(run.container && run.commit && run.jobs.len && run.jobs.len <= RUN_JOBS_MAX);
	if (!e && which == 'c')
		assert(claim.runner && claim.labels.len && claim.wait >= 0);
	if (!e && which == 's')
		assert(job_status_is_final(result.status));
	err_free(e);
}

/* What a client reads from a server: the texts it makes of it give the same again. */
static void answer(const json_t *o)
{
	AUTO(run_fini) struct run run = {0}, again = {0};
	AUTO(claimed_job_fini) struct claimed_job claimed = {0};
	int64_t lease_time = 0;
	struct err *e = claimed_from_json(o, "fuzz", &claimed, &lease_time);
	if (!e)
		assert(lease_time > 0 && strlen(claimed.lease) < sizeof(claimed.lease));
	err_free(e);
	e = run_from_json(o, "fuzz", &run);
	if (!e) {
		AUTO_JSON json_t *out = run_to_json(&run);
		e = run_from_json(out, "fuzz", &again);
		assert(!e && again.jobs.len == run.jobs.len && again.number == run.number);
	}
	err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	AUTO_FREE char *text = mem_strndup((const char *)data + 1, size - 1);
	if (data[0] == 'p') {
		path(text);
	} else if (data[0] == 'h') {
		header(text);
	} else if (data[0] == 'o') {
		scope(text);
	} else {
		AUTO_JSON json_t *o = NULL;
		struct err *e = json_parse(str_n((const char *)data + 1, size - 1), "fuzz", &o);
		err_free(e);
		if (json_is_object(o) && data[0] == 't')
			token_body(o);
		else if (json_is_object(o) && strchr("rcs", data[0]) && data[0])
			other_body((char)data[0], o);
		else if (json_is_object(o))
			answer(o);
	}
	return 0;
}
