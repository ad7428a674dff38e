/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the space "scrub": "state" is {"after","started","blobs","bytes","problems","last":{...}},
 * "bad:<digest>" a finding {"at","why","lost"}.
 */
#include "registry/scrub.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "registry/registry_internal.h"
#include "registry/upkeep.h"
#include "store/maintain.h"

#include <string.h>

#define SPACE_SCRUB "scrub"
#define KEY_STATE "state"
#define PREFIX_BAD "bad:"
#define FINDINGS_KEPT (90 * 24 * 3600 * CLOCK_SECOND)

struct scrub_state {
	struct digest after;
	int64_t started;
	struct store_verify_result sum;
	json_t *last; /* the last whole pass; NULL: none yet */
};

static void state_fini(struct scrub_state *st)
{
	json_decref(st->last);
}

static int64_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static struct err *read_state(struct store *s, struct scrub_state *st)
{
	AUTO_BUF struct buf value = {0};
	AUTO_JSON json_t *o = NULL;
	bool found = false;
	TRY(store_record_get(s, SPACE_SCRUB, KEY_STATE, &value, &found));
	if (!found)
		return NULL;
	TRY(json_parse(buf_str(&value), "the state of the scrub", &o));
	const char *after = json_string_value(json_object_get(o, "after"));
	if (after && *after)
		TRY(digest_parse(str_c(after), &st->after));
	st->started = number(o, "started");
	st->sum.blobs = (uint64_t)number(o, "blobs");
	st->sum.blob_bytes = (uint64_t)number(o, "bytes");
	st->sum.problems = (uint64_t)number(o, "problems");
	json_t *last = json_object_get(o, "last");
	st->last = json_is_object(last) ? json_incref(last) : NULL;
	return NULL;
}

static json_t *counts(const struct scrub_state *st)
{
	json_t *o = json_object();
	json_object_set_new(o, "started", json_integer(st->started));
	json_object_set_new(o, "blobs", json_integer((json_int_t)st->sum.blobs));
	json_object_set_new(o, "bytes", json_integer((json_int_t)st->sum.blob_bytes));
	json_object_set_new(o, "problems", json_integer((json_int_t)st->sum.problems));
	return o;
}

static struct err *write_state(struct store *s, const struct scrub_state *st)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_JSON json_t *o = counts(st);
	json_object_set_new(o, "after", json_text(digest_text(&st->after, text)));
	if (st->last)
		json_object_set(o, "last", st->last);
	AUTO_FREE char *value = json_dump(o, false);
	return store_record_put(s, &(struct store_record){SPACE_SCRUB, KEY_STATE, str_c(value), NULL, 0});
}

/* ---- findings ---- */

struct findings {
	struct store *s;
	bool any;
	struct err *failure;
};

static void on_bad(void *ctx, const struct digest *d, const char *why, const struct strvec *lost)
{
	struct findings *f = ctx;
	char text[DIGEST_TEXT_MAX];
	AUTO_JSON json_t *o = json_object();
	json_t *names = json_array();
	json_object_set_new(o, "at", json_integer(clock_now()));
	json_object_set_new(o, "why", json_text(why));
	json_object_set_new(o, "lost", names);
	size_t tags = 0;
	for (size_t i = 0; i < lost->len; i++) {
		json_array_append_new(names, json_text(lost->ptr[i]));
		tags += cstr_starts(lost->ptr[i], SPACE_TAG "/");
	}
	log_warn("registry: scrub: %s, set aside in quarantine; %zu tag%s went with it", why, tags,
		plural(tags));
	AUTO_FREE char *value = json_dump(o, false);
	AUTO_FREE char *key = mem_printf(PREFIX_BAD "%s", digest_text(d, text));
	struct store_record r = {SPACE_SCRUB, key, str_c(value), NULL, 0};
	f->failure = err_first(f->failure, store_record_put(f->s, &r));
	f->any = true;
}

static struct err *push_old(void *ctx, const struct store_record_row *row)
{
	if (row->created < clock_now() - FINDINGS_KEPT)
		strvec_push(ctx, row->key);
	return NULL;
}

static struct err *forget_old(struct store *s)
{
	AUTO_STRVEC struct strvec keys = {0};
	bool deleted;
	TRY(store_record_each(s, SPACE_SCRUB, PREFIX_BAD, NULL, 0, push_old, &keys));
	for (size_t i = 0; i < keys.len; i++)
		TRY(store_record_delete(s, SPACE_SCRUB, keys.ptr[i], &deleted));
	return NULL;
}

/* ---- a step ---- */

static struct err *end_pass(struct store *s, struct scrub_state *st)
{
	json_decref(st->last);
	st->last = counts(st);
	json_object_set_new(st->last, "ended", json_integer(clock_now()));
	st->after = (struct digest){0};
	st->started = 0;
	st->sum = (struct store_verify_result){0};
	return forget_old(s);
}

/* One pass takes as long as the time that is given for it, also when it is through early. */
static bool is_resting(const struct scrub_state *st, int64_t every)
{
	return !st->started && st->last && number(st->last, "started") > clock_now() - every;
}

struct err *scrub_step(struct store *s, int64_t every, int64_t step, const struct cancel *cancel)
{
	AUTO(state_fini) struct scrub_state st = {0};
	uint64_t count = 0, bytes = 0;
	bool end = false;
	TRY(read_state(s, &st));
	if (is_resting(&st, every))
		return NULL;
	if (!st.started)
		st.started = clock_now();
	TRY(store_blob_totals(s, &count, &bytes));
	struct findings f = {.s = s};
	struct store_scrub_options opt = {
		.bytes = (uint64_t)((double)bytes * (double)step / (double)every) + 1,
		.cancel = cancel,
		.report = on_bad,
		.ctx = &f,
	};
	struct err *e = store_scrub(s, &opt, &st.after, &st.sum, &end);
	if (f.any)
		e = err_first(e, registry_recount(s));
	e = err_first(e, f.failure);
	if (!e && end)
		e = end_pass(s, &st);
	return err_first(e, write_state(s, &st));
}

/* ---- the report ---- */

struct report {
	struct store *s;
	json_t *findings;
};

static struct err *add_finding(void *ctx, const struct store_record_row *row)
{
	struct report *r = ctx;
	json_t *o = NULL;
	TRY(json_parse(row->value, row->key, &o));
	json_object_set_new(o, "digest", json_text(row->key + strlen(PREFIX_BAD)));
	json_array_append_new(r->findings, o);
	return NULL;
}

static struct err *set_healed(struct store *s, json_t *finding)
{
	struct digest d;
	int64_t size = -1;
	TRY(digest_parse(str_c(json_string_value(json_object_get(finding, "digest"))), &d));
	TRY(store_blob_stat(s, &d, &size));
	json_object_set_new(finding, "healed", json_boolean(size >= 0));
	return NULL;
}

struct err *registry_scrub_report(struct store *s, json_t **out)
{
	AUTO(state_fini) struct scrub_state st = {0};
	AUTO_JSON json_t *o = json_object();
	struct report r = {s, json_array()};
	json_object_set_new(o, "findings", r.findings);
	TRY(read_state(s, &st));
	json_object_set_new(o, "pass", st.started ? counts(&st) : json_null());
	json_object_set_new(o, "last", st.last ? json_incref(st.last) : json_null());
	TRY(store_record_each(s, SPACE_SCRUB, PREFIX_BAD, NULL, 0, add_finding, &r));
	for (size_t i = 0; i < json_array_size(r.findings); i++)
		TRY(set_healed(s, json_array_get(r.findings, i)));
	*out = steal(&o);
	return NULL;
}
