/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "store/store_internal.h"

#include <string.h>

#define SPACE_MAX 64
#define KEY_MAX 4096
/* SQLite's own limit is a thousand million. */
#define VALUE_MAX ((size_t)256 * 1024 * 1024)
#define WALK_PAGE 128

bool store_space_evictable(const char *space)
{
	static const char *const evictable[] = {"cache", "op", "local"};
	for (size_t i = 0; i < ARRAY_LEN(evictable); i++)
		if (cstr_eq(space, evictable[i]))
			return true;
	return false;
}

static struct err *check_name(const char *space, const char *key)
{
	size_t n = strlen(space);
	if (n == 0 || n > SPACE_MAX || strspn(space, "abcdefghijklmnopqrstuvwxyz0123456789-_") != n)
		return err_new(ERR_INVALID, "\"%.100s\" cannot name a space of records", space);
	if (!key[0] || strlen(key) > KEY_MAX)
		return err_new(ERR_INVALID, "a key in \"%s\" must have 1 to %d bytes", space, KEY_MAX);
	return NULL;
}

static struct err *check_record(const struct store_record *r)
{
	TRY(check_name(r->space, r->key));
	if (r->value.len > VALUE_MAX)
		return err_new(ERR_INVALID, "the value of %s/%s has more than %zu bytes", r->space, r->key,
			VALUE_MAX);
	for (size_t i = 0; i < r->ref_count; i++) {
		const struct store_ref *ref = &r->refs[i];
		struct digest d;
		if (ref->kind == STORE_REF_BLOB)
			TRY(digest_parse(str_c(ref->name), &d));
		else if (ref->kind == STORE_REF_LAYER && !store_id_valid(ref->name))
			return err_new(ERR_INVALID, "\"%s\" cannot name a layer", ref->name);
		else if (ref->kind == STORE_REF_RECORD && !strchr(ref->name, '/'))
			return err_new(ERR_INVALID, "\"%s\" is not of the form space/key", ref->name);
	}
	return NULL;
}

struct found_record {
	bool found;
	int64_t row, used;
	struct str value; /* borrowed from the query */
};

static struct err *find(
	struct query *q, struct store *s, const char *space, const char *key, struct found_record *f)
{
	*f = (struct found_record){0};
	TRY(query_open(s, "SELECT id, used, value FROM records WHERE space = ?1 AND key = ?2", q));
	query_text(q, 1, space);
	query_text(q, 2, key);
	TRY(query_step(q, &f->found));
	if (f->found) {
		f->row = column_int(q, 0);
		f->used = column_int(q, 1);
		f->value = column_str(q, 2);
	}
	return NULL;
}

static void touch_row(struct store *s, const struct found_record *f)
{
	char line[LEASE_LINE_MAX], id[24];
	snprintf(id, sizeof(id), "%lld", (long long)f->row);
	store_touch(s, lease_line('r', id, line), f->used);
}

struct err *store_record_get(
	struct store *s, const char *space, const char *key, struct buf *value, bool *found)
{
	*found = false;
	TRY(check_name(space, key));
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	struct found_record f;
	TRY(find(&q, locked, space, key, &f));
	if (!f.found)
		return NULL;
	touch_row(locked, &f);
	buf_addstr(value, f.value);
	*found = true;
	return NULL;
}

/* What r will keep must not be on its way out; absent says whether it is not there at all. */
static struct err *rescue_target(struct store *s, const struct store_ref *ref, bool *absent)
{
	bool alive = false;
	struct digest d;
	if (ref->kind == STORE_REF_BLOB) {
		TRY(digest_parse(str_c(ref->name), &d));
		TRY(store_blob_rescue(s, &d, &alive));
	} else if (ref->kind == STORE_REF_LAYER) {
		TRY(store_layer_rescue(s, ref->name, &alive));
	} else {
		AUTO_QUERY struct query q = {0};
		const char *slash = strchr(ref->name, '/');
		TRY(query_open(s, "SELECT 1 FROM records WHERE space = ?1 AND key = ?2", &q));
		query_str(&q, 1, str_n(ref->name, (size_t)(slash - ref->name)));
		query_text(&q, 2, slash + 1);
		TRY(query_step(&q, &alive));
	}
	*absent = !alive;
	return NULL;
}

static struct err *put_refs(struct store *s, const struct store_record *r, int64_t row)
{
	AUTO_QUERY struct query drop = {0}, add = {0};
	TRY(query_open(s, "DELETE FROM refs WHERE record = ?1", &drop));
	query_int(&drop, 1, row);
	TRY(query_run(&drop));
	TRY(query_open(s,
		"INSERT INTO refs(record, kind, target, absent) VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO "
		"NOTHING",
		&add));
	for (size_t i = 0; i < r->ref_count; i++) {
		bool absent = false;
		TRY(rescue_target(s, &r->refs[i], &absent));
		query_int(&add, 1, row);
		query_int(&add, 2, r->refs[i].kind);
		query_text(&add, 3, r->refs[i].name);
		query_int(&add, 4, absent);
		TRY(query_run(&add));
	}
	return NULL;
}

static struct err *put(struct store *s, const struct store_record *r)
{
	int64_t row = 0;
	{
		AUTO_QUERY struct query q = {0};
		TRY(query_open(s,
			"INSERT INTO records(space, key, value, created, used) VALUES(?1, ?2, ?3, ?4, ?4)"
			" ON CONFLICT(space, key) DO UPDATE SET value = excluded.value, created = "
			"excluded.created,"
			" used = excluded.used RETURNING id",
			&q));
		query_text(&q, 1, r->space);
		query_text(&q, 2, r->key);
		query_blob(&q, 3, r->value.ptr, r->value.len);
		query_int(&q, 4, clock_now());
		bool got = false;
		TRY(query_step(&q, &got));
		row = column_int(&q, 0);
	}
	if (!store_space_evictable(r->space))
		s->tx_durable = true;
	return put_refs(s, r, row);
}

static struct err *same_refs(struct store *s, const struct store_record *r, int64_t row, bool *same)
{
	AUTO_QUERY struct query all = {0}, one = {0};
	TRY(query_open(s, "SELECT count(*) FROM refs WHERE record = ?1 AND absent = 0", &all));
	query_int(&all, 1, row);
	bool got = false;
	TRY(query_step(&all, &got));
	*same = column_int(&all, 0) == (int64_t)r->ref_count;
	TRY(query_open(s, "SELECT 1 FROM refs WHERE record = ?1 AND kind = ?2 AND target = ?3 AND absent = 0",
		&one));
	for (size_t i = 0; i < r->ref_count && *same; i++) {
		query_int(&one, 1, row);
		query_int(&one, 2, r->refs[i].kind);
		query_text(&one, 3, r->refs[i].name);
		TRY(query_step(&one, same));
		sqlite3_reset(one.st);
	}
	return NULL;
}

/* A build of known things puts what is there: that costs no write. */
static struct err *is_there(struct store *s, const struct store_record *r, bool *there)
{
	*there = false;
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	struct found_record f;
	TRY(find(&q, locked, r->space, r->key, &f));
	if (!f.found || !str_eq(f.value, r->value))
		return NULL;
	TRY(same_refs(locked, r, f.row, there));
	if (*there)
		touch_row(locked, &f);
	return NULL;
}

struct err *store_record_put(struct store *s, const struct store_record *r)
{
	TRY(store_writable(s));
	TRY(check_record(r));
	bool there = false;
	TRY(is_there(s, r, &there));
	if (there)
		return NULL;
	TRY(store_tx_begin(s));
	return store_tx_end(s, put(s, r));
}

static struct err *swap(
	struct store *s, const struct store_record *r, const struct str *expect, bool *swapped)
{
	{
		AUTO_QUERY struct query q = {0};
		struct found_record f;
		TRY(find(&q, s, r->space, r->key, &f));
		*swapped = expect ? f.found && str_eq(f.value, *expect) : !f.found;
	}
	return *swapped ? put(s, r) : NULL;
}

struct err *store_record_swap(
	struct store *s, const struct store_record *r, const struct str *expect, bool *swapped)
{
	*swapped = false;
	TRY(check_record(r));
	TRY(store_tx_begin(s));
	struct err *e = store_tx_end(s, swap(s, r, expect, swapped));
	if (e)
		*swapped = false;
	return e;
}

struct err *store_record_drop(struct store *s, int64_t row, const char *name)
{
	AUTO_QUERY struct query refs = {0}, q = {0}, back = {0};
	TRY(query_open(s, "DELETE FROM refs WHERE record = ?1", &refs));
	query_int(&refs, 1, row);
	TRY(query_run(&refs));
	TRY(query_open(s, "DELETE FROM records WHERE id = ?1", &q));
	query_int(&q, 1, row);
	TRY(query_run(&q));
	TRY(query_open(s, "UPDATE refs SET absent = 1 WHERE kind = ?1 AND target = ?2", &back));
	query_int(&back, 1, STORE_REF_RECORD);
	query_text(&back, 2, name);
	return query_run(&back);
}

static struct err *delete_record(struct store *s, const char *space, const char *key, bool *deleted)
{
	int64_t row = 0;
	{
		AUTO_QUERY struct query q = {0};
		struct found_record f;
		TRY(find(&q, s, space, key, &f));
		*deleted = f.found;
		row = f.row;
	}
	if (!*deleted)
		return NULL;
	s->tx_durable = s->tx_durable || !store_space_evictable(space);
	AUTO_FREE char *name = mem_printf("%s/%s", space, key);
	return store_record_drop(s, row, name);
}

struct err *store_record_delete(struct store *s, const char *space, const char *key, bool *deleted)
{
	TRY(check_name(space, key));
	TRY(store_tx_begin(s));
	bool gone = false;
	TRY(store_tx_end(s, delete_record(s, space, key, &gone)));
	if (deleted)
		*deleted = gone;
	return NULL;
}

/* ---- walking ---- */

struct page_row {
	size_t key, value, value_len; /* offsets into the page's text */
	int64_t created, used;
};

struct page {
	struct buf text;
	struct vec rows;
};

static void page_fini(struct page *p)
{
	buf_fini(&p->text);
	vec_fini(&p->rows);
}

/* The first text that is greater than all that start with prefix; false when there is none. */
static bool prefix_end(const char *prefix, struct buf *end)
{
	buf_adds(end, prefix);
	while (end->len > 0 && (uint8_t)end->ptr[end->len - 1] == 0xff)
		buf_truncate(end, end->len - 1);
	if (end->len == 0)
		return false;
	end->ptr[end->len - 1]++;
	return true;
}

struct walk {
	const char *space, *prefix;
	bool bounded;
	struct buf end, after;
};

static void walk_fini(struct walk *w)
{
	buf_fini(&w->end);
	buf_fini(&w->after);
}

static struct err *load_page(struct store *s, const struct walk *w, size_t limit, struct page *page)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	TRY(query_open(locked,
		"SELECT key, value, created, used FROM records WHERE space = ?1 AND key >= ?2 AND key <> ?3"
		" AND key < ?4 ORDER BY key LIMIT ?5",
		&q));
	query_text(&q, 1, w->space);
	const char *after = buf_cstr(&w->after);
	query_text(&q, 2, strcmp(after, w->prefix) > 0 ? after : w->prefix);
	query_text(&q, 3, after);
	if (w->bounded)
		query_str(&q, 4, buf_str(&w->end));
	else
		query_blob(&q, 4, "", 0); /* any blob is greater than any text */
	query_int(&q, 5, (int64_t)limit);
	for (;;) {
		bool got = false;
		TRY(query_step(&q, &got));
		if (!got)
			return NULL;
		struct page_row *row = vec_push(&page->rows);
		struct str value = column_str(&q, 1);
		*row = (struct page_row){
			.created = column_int(&q, 2), .used = column_int(&q, 3), .value_len = value.len};
		row->value = page->text.len;
		buf_addstr(&page->text, value);
		buf_addc(&page->text, '\0');
		row->key = page->text.len;
		buf_adds(&page->text, column_text(&q, 0));
		buf_addc(&page->text, '\0');
	}
}

static struct err *visit_page(
	const struct page *page, struct err *(*fn)(void *, const struct store_record_row *), void *ctx)
{
	for (size_t i = 0; i < page->rows.len; i++) {
		const struct page_row *at = vec_at(&page->rows, i);
		struct store_record_row row = {
			.key = page->text.ptr + at->key,
			.value = str_n(page->text.ptr + at->value, at->value_len),
			.created = at->created,
			.used = at->used,
		};
		TRY(fn(ctx, &row));
	}
	return NULL;
}

struct err *store_record_each(struct store *s, const char *space, const char *prefix, const char *after,
	size_t limit, struct err *(*fn)(void *ctx, const struct store_record_row *row), void *ctx)
{
	struct walk w AUTO(walk_fini) = {.space = space, .prefix = prefix ? prefix : ""};
	w.bounded = prefix_end(w.prefix, &w.end);
	buf_adds(&w.after, after ? after : "");
	size_t left = limit ? limit : SIZE_MAX;
	while (left > 0) {
		struct page page AUTO(page_fini) = {.rows = VEC_OF(struct page_row)};
		size_t want = left < WALK_PAGE ? left : WALK_PAGE;
		TRY(load_page(s, &w, want, &page));
		TRY(visit_page(&page, fn, ctx));
		if (page.rows.len < want)
			break;
		left -= want;
		const struct page_row *last = vec_at(&page.rows, page.rows.len - 1);
		buf_clear(&w.after);
		buf_adds(&w.after, page.text.ptr + last->key);
	}
	return NULL;
}

struct err *store_record_naming(struct store *s, const char *space, const char *prefix,
	const struct store_ref *ref, struct strvec *keys)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	TRY(query_open(locked,
		"SELECT key FROM refs CROSS JOIN records ON id = record WHERE kind = ?1 AND target = ?2 AND "
		"space = ?3",
		&q));
	query_int(&q, 1, ref->kind);
	query_text(&q, 2, ref->name);
	query_text(&q, 3, space);
	for (;;) {
		bool got = false;
		TRY(query_step(&q, &got));
		if (!got)
			return NULL;
		if (cstr_starts(column_text(&q, 0), prefix))
			strvec_push(keys, column_text(&q, 0));
	}
}
