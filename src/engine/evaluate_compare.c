/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/mem.h"
#include "engine/engine_internal.h"
#include "engine/evaluate.h"

#include <string.h>

/* How much of a command or a value is shown. */
#define SHOWN_MAX 120

void input_changes_fini(struct vec *changes)
{
	for (size_t i = 0; i < changes->len; i++) {
		struct input_change *c = vec_at(changes, i);
		mem_freep(&c->name);
		mem_freep(&c->from);
		mem_freep(&c->to);
		mem_freep(&c->text);
	}
	vec_fini(changes);
}

/* Takes text. */
static void add_change(
	struct vec *out, enum input_kind kind, const char *name, const char *from, const char *to, char *text)
{
	struct input_change *c = vec_push(out);

	c->kind = kind;
	c->name = mem_strdup(name);
	c->from = mem_strdup(from);
	c->to = mem_strdup(to);
	c->text = text;
}

/* ---- what one has and the other has not ---- */

static void input_key(const struct build_input *in, struct buf *out)
{
	buf_clear(out);
	/* A step is what it does; what it is called changes with the language's own counting. */
	buf_addf(out, "%d\n%s\n%s", (int)in->kind, in->kind == INPUT_STEP ? "" : in->name, in->state);
}

/* Inputs of a that b has not, as often as it has not; vec of const struct build_input *. */
static void only_in(const struct evaluation *a, const struct evaluation *b, struct vec *out)
{
	AUTO(map_freep) struct map *counts = map_new(NULL);
	AUTO_BUF struct buf key = {0};

	for (size_t i = 0; i < b->list.len; i++) {
		input_key(vec_at(&b->list, i), &key);
		uintptr_t n = (uintptr_t)map_get(counts, buf_str(&key));
		map_set(counts, buf_str(&key), (void *)(n + 1));
	}
	for (size_t i = 0; i < a->list.len; i++) {
		const struct build_input *in = vec_at(&a->list, i);
		input_key(in, &key);
		uintptr_t n = (uintptr_t)map_get(counts, buf_str(&key));
		if (n)
			map_set(counts, buf_str(&key), (void *)(n - 1));
		else
			vec_push_copy(out, &in);
	}
}

/* ---- for people ---- */

static const char *short_text(const char *s, struct buf *out)
{
	size_t len = strlen(s), shown = len < SHOWN_MAX ? len : SHOWN_MAX;

	/* between characters */
	while (shown && ((unsigned char)s[shown] & 0xc0) == 0x80)
		shown--;
	buf_clear(out);
	buf_add(out, s, shown);
	if (shown < len)
		buf_adds(out, "...");
	for (size_t i = 0; i < out->len; i++)
		if ((unsigned char)out->ptr[i] < ' ')
			out->ptr[i] = ' ';
	return buf_cstr(out);
}

/* "sha256:" and the first twelve, where it is a digest. */
static const char *short_digest(const char *s, char out[24])
{
	snprintf(out, 24, "%.*s", cstr_starts(s, "sha256:") ? 19 : 12, s);
	return out;
}

static char *describe_file(const struct build_input *from, const struct build_input *to)
{
	const char *name = to ? to->name : from->name;

	if (!from || !to)
		return mem_printf("%s is %s", name, to ? "new" : "gone");
	const char *a = strchr(from->state, ' '), *b = strchr(to->state, ' ');
	if (a && b && cstr_eq(a, b) && !cstr_starts(a, "link"))
		return mem_printf("%s: mode %.*s -> %.*s", name, (int)(a - from->state), from->state,
			(int)(b - to->state), to->state);
	return mem_printf("%s changed", name);
}

static char *describe_source(const char *what, const struct build_input *from, const struct build_input *to)
{
	char a[24], b[24];

	if (!from || !to)
		return mem_printf("%s %s is %s", what, to ? to->name : from->name, to ? "new" : "gone");
	short_digest(from->state, a);
	short_digest(to->state, b);
	if (cstr_eq(from->name, to->name))
		return mem_printf("%s %s: %s -> %s", what, to->name, a, b);
	if (cstr_eq(from->state, to->state))
		return mem_printf("%s %s -> %s", what, from->name, to->name);
	return mem_printf("%s %s (%s) -> %s (%s)", what, from->name, a, to->name, b);
}

static char *describe_setting(const struct build_input *from, const struct build_input *to)
{
	return mem_printf("%s: %s -> %s", to ? to->name : from->name, from ? from->state : "(not set)",
		to ? to->state : "(not set)");
}

/* ---- steps ---- */

/* Names of members that differ, and of the environment the variables. */
static void differing_env(const json_t *from, const json_t *to, struct buf *out)
{
	AUTO_STRVEC struct strvec a = {0}, b = {0};
	AUTO_BUF struct buf x = {0}, y = {0};

	err_ignore(json_get_strings(from, "env", "", &a), "what is no list is not shown");
	err_ignore(json_get_strings(to, "env", "", &b), "what is no list is not shown");
	for (size_t i = 0; i < a.len + b.len; i++) {
		const char *pair = i < a.len ? a.ptr[i] : b.ptr[i - a.len];
		AUTO_FREE char *key = mem_strndup(pair, strcspn(pair, "="));
		const char *was = envlist_get(&a, key), *is = envlist_get(&b, key);
		if (cstr_eq(was, is) || (i >= a.len && was))
			continue;
		buf_addf(out, "%s%s %s -> %s", out->len ? ", " : "", key,
			was ? short_text(was, &x) : "(not set)", is ? short_text(is, &y) : "(not set)");
	}
}

static bool is_plain(const json_t *v)
{
	return !v || json_is_string(v) || json_is_integer(v) || json_is_boolean(v);
}

static char *plain_text(const json_t *v)
{
	if (!v)
		return mem_strdup("(not set)");
	return json_is_string(v) ? mem_strdup(json_string_value(v)) : json_dump(v, true);
}

static void differing_member(const char *key, const json_t *from, const json_t *to, struct buf *out)
{
	AUTO_BUF struct buf x = {0}, y = {0};

	buf_addf(out, "%s%s", out->len ? ", " : "", key);
	if (!is_plain(from) || !is_plain(to))
		return;
	AUTO_FREE char *a = plain_text(from), *b = plain_text(to);
	buf_addf(out, " %s -> %s", short_text(a, &x), short_text(b, &y));
}

static void differing_members(const json_t *from, const json_t *to, struct buf *out);

/* The actions of a copy and the like, one by one where there are as many. */
static void differing_actions(const json_t *from, const json_t *to, struct buf *out)
{
	if (json_array_size(from) != json_array_size(to)) {
		differing_member("actions", from, to, out);
		return;
	}
	for (size_t i = 0; i < json_array_size(from); i++)
		differing_members(json_array_get(from, i), json_array_get(to, i), out);
}

static void differing_members(const json_t *from, const json_t *to, struct buf *out)
{
	AUTO_JSON json_t *all = json_copy((json_t *)(uintptr_t)from);
	const char *key;
	json_t *v;

	if (!all)
		return;
	json_object_update_missing(all, (json_t *)(uintptr_t)to);
	json_object_foreach(all, key, v)
	{
		const json_t *a = json_object_get(from, key), *b = json_object_get(to, key);
		if (json_equal(a, b) || cstr_eq(key, "dataDigest"))
			continue;
		if (cstr_eq(key, "env"))
			differing_env(from, to, out);
		else if (cstr_eq(key, "actions"))
			differing_actions(a, b, out);
		else
			differing_member(key, a, b, out);
	}
}

/* What of a step is another thing, where its name does not tell: "make: VERSION 1 -> 2". */
static char *describe_same_name(const struct build_input *from, const struct build_input *to)
{
	AUTO_JSON json_t *a = NULL, *b = NULL;
	AUTO_BUF struct buf out = {0};
	struct err *e = json_parse(str_c(from->state), "step", &a);

	if (!e)
		e = json_parse(str_c(to->state), "step", &b);
	if (!e)
		differing_members(json_object_get(a, "value"), json_object_get(b, "value"), &out);
	err_ignore(e, "an instruction without a node is no JSON: its text is all there is");
	return out.len ? buf_steal(&out) : NULL;
}

static void add_place(const struct build_input *in, struct buf *out)
{
	if (in->file)
		buf_addf(out, "%s:%u: ", in->file, in->line);
}

static char *describe_step(const struct build_input *from, const struct build_input *to)
{
	AUTO_BUF struct buf out = {0}, x = {0}, y = {0};

	add_place(to ? to : from, &out);
	if (!from || !to) {
		buf_addf(&out, "\"%s\" is %s", short_text(to ? to->name : from->name, &x),
			to ? "new" : "gone");
		return buf_steal(&out);
	}
	if (!cstr_eq(from->name, to->name)) {
		buf_addf(&out, "\"%s\" -> \"%s\"", short_text(from->name, &x), short_text(to->name, &y));
		return buf_steal(&out);
	}
	AUTO_FREE char *detail = describe_same_name(from, to);
	buf_addf(&out, "\"%s\" changed%s%s", short_text(to->name, &x), detail ? ": " : "",
		detail ? detail : "");
	return buf_steal(&out);
}

static char *describe(enum input_kind kind, const struct build_input *from, const struct build_input *to)
{
	switch (kind) {
	case INPUT_FILE:
		return describe_file(from, to);
	case INPUT_IMAGE:
		return describe_source("base image", from, to);
	case INPUT_URL:
		return describe_source("download", from, to);
	case INPUT_GIT:
		return describe_source("git", from, to);
	case INPUT_STEP:
		return describe_step(from, to);
	case INPUT_DERIVATION:
		return mem_printf("%s: the derivation differs", to ? to->name : from->name);
	default:
		return describe_setting(from, to);
	}
}

/* ---- pairing ---- */

struct pairing {
	struct vec from, to; /* of const struct build_input *; NULL once taken */
	struct vec *out;
};

static const struct build_input **at(const struct vec *v, size_t i)
{
	return vec_at(v, i);
}

static void report(struct pairing *p, enum input_kind kind, const struct build_input **from,
	const struct build_input **to)
{
	const struct build_input *a = from ? *from : NULL, *b = to ? *to : NULL;

	if (from)
		*from = NULL;
	if (to)
		*to = NULL;
	/* All that a step does is no value that anybody reads. */
	bool step = kind == INPUT_STEP;
	const char *was = !a ? NULL : step ? a->name : a->state;
	const char *is = !b ? NULL : step ? b->name : b->state;
	add_change(p->out, kind, b ? b->name : a->name, was, is, describe(kind, a, b));
}

/* How alike two inputs of a kind are, of which one may have become the other. */
static int likeness(const struct build_input *a, const struct build_input *b)
{
	if (cstr_eq(a->name, b->name))
		return 3;
	if (a->kind == INPUT_FILE || a->kind == INPUT_SETTING)
		return 0; /* another name is another thing */
	if (a->kind != INPUT_STEP)
		return 1;
	/* An instruction's word. */
	size_t word = strcspn(a->name, " ");
	if (strncmp(a->name, b->name, word + 1) != 0)
		return 0;
	return a->file && b->file && a->line == b->line ? 2 : 1;
}

static void pair_at_least(struct pairing *p, enum input_kind kind, int want)
{
	for (size_t i = 0; i < p->to.len; i++) {
		const struct build_input **to = at(&p->to, i);
		for (size_t k = 0; *to && (*to)->kind == kind && k < p->from.len; k++) {
			const struct build_input **from = at(&p->from, k);
			if (*from && (*from)->kind == kind && likeness(*from, *to) >= want)
				report(p, kind, from, to);
		}
	}
}

static void report_rest(struct pairing *p, enum input_kind kind)
{
	for (size_t i = 0; i < p->from.len; i++)
		if (*at(&p->from, i) && (*at(&p->from, i))->kind == kind)
			report(p, kind, at(&p->from, i), NULL);
	for (size_t i = 0; i < p->to.len; i++)
		if (*at(&p->to, i) && (*at(&p->to, i))->kind == kind)
			report(p, kind, NULL, at(&p->to, i));
}

/* ---- the image's settings ---- */

static void config_change(const char *name, const json_t *from, const json_t *to, struct vec *out)
{
	AUTO_FREE char *a = plain_text(from), *b = plain_text(to);
	AUTO_BUF struct buf x = {0}, y = {0};

	add_change(out, INPUT_CONFIG, name, from ? a : NULL, to ? b : NULL,
		mem_printf("%s: %s -> %s", name, short_text(a, &x), short_text(b, &y)));
}

/* "env" as an object, so that variables are compared one by one. */
static json_t *env_object(const json_t *list)
{
	json_t *o = json_object();

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *pair = json_string_value(json_array_get(list, i));
		if (!pair)
			continue;
		size_t len = strcspn(pair, "=");
		AUTO_FREE char *key = mem_strndup(pair, len);
		json_set_text(o, key, pair[len] ? pair + len + 1 : "");
	}
	return o;
}

static void compare_members(
	const char *prefix, const json_t *from, const json_t *to, bool labels, struct vec *out)
{
	AUTO_JSON json_t *all = json_object();
	const char *key;
	json_t *v;

	json_object_update(all, (json_t *)(uintptr_t)from);
	json_object_update_missing(all, (json_t *)(uintptr_t)to);
	json_object_foreach(all, key, v)
	{
		const json_t *a = json_object_get(from, key), *b = json_object_get(to, key);
		if (json_equal(a, b) || (labels && is_provenance_label(key)))
			continue;
		AUTO_FREE char *name = mem_printf("%s%s", prefix, key);
		config_change(name, a, b, out);
	}
}

static void compare_config(const json_t *from, const json_t *to, struct vec *out)
{
	static const char *const apart[] = {"Env", "Labels"};
	AUTO_JSON json_t *a = json_deep_copy(json_object_get(from, "config"));
	AUTO_JSON json_t *b = json_deep_copy(json_object_get(to, "config"));
	AUTO_JSON json_t *env_a = env_object(json_object_get(a, "Env"));
	AUTO_JSON json_t *env_b = env_object(json_object_get(b, "Env"));

	compare_members("ENV ", env_a, env_b, false, out);
	compare_members("label ", json_object_get(a, "Labels"), json_object_get(b, "Labels"), true, out);
	for (size_t i = 0; i < ARRAY_LEN(apart); i++) {
		json_object_del(a, apart[i]);
		json_object_del(b, apart[i]);
	}
	compare_members("image setting ", a, b, false, out);
}

/* ---- all of it ---- */

/* The files that described the build, where what they say is another thing. */
static void blame_scripts(struct pairing *p, size_t first)
{
	AUTO_BUF struct buf names = {0};

	for (size_t i = 0; i < p->to.len; i++) {
		const struct build_input *in = *at(&p->to, i);
		if (in && in->kind == INPUT_SCRIPT)
			buf_addf(&names, "%s%s", names.len ? " and " : "", in->name);
	}
	if (!names.len)
		return;
	for (size_t i = first; i < p->out->len; i++) {
		struct input_change *c = vec_at(p->out, i);
		if (c->kind != INPUT_STEP && c->kind != INPUT_CONFIG)
			continue;
		char *text = mem_printf("%s changed the pipeline: %s", buf_cstr(&names), c->text);
		mem_freep(&c->text);
		c->text = text;
	}
}

static bool has_kind(const struct vec *changes, size_t first, enum input_kind kind)
{
	for (size_t i = first; i < changes->len; i++)
		if (((const struct input_change *)vec_at(changes, i))->kind == kind)
			return true;
	return false;
}

static void find_changes(
	struct pairing *p, const struct evaluation *from, const struct evaluation *to, size_t first)
{
	static const enum input_kind order[] = {
		INPUT_FILE, INPUT_IMAGE, INPUT_URL, INPUT_GIT, INPUT_STEP, INPUT_SETTING, INPUT_DERIVATION};

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		for (int want = 3; want > 0; want--)
			pair_at_least(p, order[i], want);
		report_rest(p, order[i]);
	}
	/* Of a base image come settings, too; and a Dockerfile's instruction has been told of. */
	if (from->config && to->config && !has_kind(p->out, first, INPUT_IMAGE) &&
		!has_kind(p->out, first, INPUT_STEP))
		compare_config(from->config, to->config, p->out);
	blame_scripts(p, first);
}

void evaluation_compare(const struct evaluation *from, const struct evaluation *to, struct vec *changes)
{
	struct pairing p = {VEC_OF(const struct build_input *), VEC_OF(const struct build_input *), changes};
	size_t first = changes->len;

	if (digest_eq(&from->inputs, &to->inputs))
		return;
	only_in(from, to, &p.from);
	only_in(to, from, &p.to);
	find_changes(&p, from, to, first);
	vec_fini(&p.from);
	vec_fini(&p.to);
	if (changes->len == first)
		add_change(changes, INPUT_STEP, "definition", NULL, NULL,
			mem_strdup("the same steps and inputs are put together in another way"));
}
