/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/yaml.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"

#include <string.h>
#include <yaml.h>

#define MAX_BYTES (8u << 20)
#define MAX_DEPTH 64
#define MAX_NODES 500000

struct reader {
	struct arena *arena;
	const char *path;
	yaml_parser_t parser;
	unsigned depth;
	size_t nodes;
};

static void reader_fini(struct reader *r)
{
	yaml_parser_delete(&r->parser);
}

static struct err *bad_at(const struct reader *r, const yaml_mark_t *at, const char *what)
{
	return err_new(ERR_INVALID, "%s:%zu:%zu: %s", r->path, at->line + 1, at->column + 1, what);
}

static struct err *bad_node(const struct yaml_node *n, const char *path, const char *what)
{
	return err_new(ERR_INVALID, "%s:%u:%u: %s", path, n->line, n->column, what);
}

static struct err *library_error(const struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *what = p->problem ? p->problem : "not YAML";
	if (p->error == YAML_READER_ERROR)
		return err_new(ERR_INVALID, "%s: byte %zu: %s", r->path, p->problem_offset + 1, what);
	if (p->context)
		return err_new(ERR_INVALID, "%s:%zu:%zu: %s (%s)", r->path, p->problem_mark.line + 1,
			p->problem_mark.column + 1, what, p->context);
	return bad_at(r, &p->problem_mark, what);
}

static struct err *next_event(struct reader *r, yaml_event_t *ev)
{
	if (!yaml_parser_parse(&r->parser, ev))
		return library_error(r);
	return NULL;
}

static struct yaml_node *node_new(struct reader *r, enum yaml_kind kind, const yaml_mark_t *at)
{
	struct yaml_node *n = arena_new_of(r->arena, struct yaml_node);
	n->kind = kind;
	n->line = (uint32_t)at->line + 1;
	n->column = (uint32_t)at->column + 1;
	return n;
}

static bool is_null_text(const char *s)
{
	return !*s || cstr_eq(s, "~") || cstr_eq(s, "null") || cstr_eq(s, "Null") || cstr_eq(s, "NULL");
}

static struct err *read_scalar(struct reader *r, const yaml_event_t *ev, struct yaml_node **out)
{
	const char *value = (const char *)ev->data.scalar.value;
	size_t len = ev->data.scalar.length;
	if (memchr(value, 0, len))
		return bad_at(r, &ev->start_mark, "the text holds a NUL character");
	struct yaml_node *n = node_new(r, YAML_SCALAR, &ev->start_mark);
	n->text = arena_strndup(r->arena, value, len);
	n->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (!n->quoted && is_null_text(n->text))
		n->kind = YAML_EMPTY;
	*out = n;
	return NULL;
}

static struct err *read_node(struct reader *r, const yaml_event_t *ev, struct yaml_node **out);

static struct err *read_list(struct reader *r, const yaml_event_t *start, struct yaml_node **out)
{
	struct yaml_node *n = node_new(r, YAML_LIST, &start->start_mark);
	AUTO(vec_fini) struct vec items = VEC_OF(struct yaml_node *);
	for (;;) {
		AUTO(yaml_event_delete) yaml_event_t ev = {0};
		TRY(next_event(r, &ev));
		if (ev.type == YAML_SEQUENCE_END_EVENT)
			break;
		struct yaml_node *item = NULL;
		TRY(read_node(r, &ev, &item));
		vec_push_copy(&items, &item);
	}
	n->count = items.len;
	if (items.len)
		n->items = arena_dup(r->arena, items.ptr, items.len * sizeof(n));
	*out = n;
	return NULL;
}

static struct err *read_key(
	struct reader *r, const yaml_event_t *ev, struct map *seen, struct yaml_node **out)
{
	if (ev->type != YAML_SCALAR_EVENT && ev->type != YAML_ALIAS_EVENT)
		return bad_at(r, &ev->start_mark, "a key must be plain text, not a list or a map");
	TRY(read_node(r, ev, out));
	struct yaml_node *key = *out;
	key->kind = YAML_SCALAR; /* "~:" and "null:" are names here */
	const struct yaml_node *before = map_get_c(seen, key->text);
	if (before)
		return err_new(ERR_INVALID, "%s:%u:%u: key \"%s\" stands twice, first on line %u", r->path,
			key->line, key->column, key->text, before->line);
	map_set_c(seen, key->text, key);
	return NULL;
}

static struct err *read_map(struct reader *r, const yaml_event_t *start, struct yaml_node **out)
{
	struct yaml_node *n = node_new(r, YAML_MAP, &start->start_mark);
	AUTO(vec_fini) struct vec keys = VEC_OF(struct yaml_node *);
	AUTO(vec_fini) struct vec items = VEC_OF(struct yaml_node *);
	AUTO(map_freep) struct map *seen = map_new(NULL);
	for (;;) {
		AUTO(yaml_event_delete) yaml_event_t ev = {0};
		TRY(next_event(r, &ev));
		if (ev.type == YAML_MAPPING_END_EVENT)
			break;
		struct yaml_node *key = NULL, *item = NULL;
		TRY(read_key(r, &ev, seen, &key));
		AUTO(yaml_event_delete) yaml_event_t val = {0};
		TRY(next_event(r, &val));
		TRY(read_node(r, &val, &item));
		vec_push_copy(&keys, &key);
		vec_push_copy(&items, &item);
	}
	n->count = items.len;
	if (items.len) {
		n->items = arena_dup(r->arena, items.ptr, items.len * sizeof(n));
		n->keys = arena_dup(r->arena, keys.ptr, keys.len * sizeof(n));
	}
	*out = n;
	return NULL;
}

static struct err *read_alias(struct reader *r, const yaml_event_t *ev)
{
	return err_hint(err_new(ERR_INVALID, "%s:%zu:%zu: alias *%s: aliases are not supported", r->path,
				ev->start_mark.line + 1, ev->start_mark.column + 1,
				(const char *)ev->data.alias.anchor),
		"write the value out");
}

static struct err *read_node(struct reader *r, const yaml_event_t *ev, struct yaml_node **out)
{
	if (++r->nodes > MAX_NODES)
		return bad_at(r, &ev->start_mark, "too many values in one document");
	if (r->depth >= MAX_DEPTH)
		return bad_at(r, &ev->start_mark, "nested too deeply");
	r->depth++;
	struct err *e = NULL;
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		e = read_scalar(r, ev, out);
		break;
	case YAML_SEQUENCE_START_EVENT:
		e = read_list(r, ev, out);
		break;
	case YAML_MAPPING_START_EVENT:
		e = read_map(r, ev, out);
		break;
	case YAML_ALIAS_EVENT:
		e = read_alias(r, ev);
		break;
	default:
		e = bad_at(r, &ev->start_mark, "a value is missing");
	}
	r->depth--;
	return e;
}

static struct err *expect_end(struct reader *r)
{
	AUTO(yaml_event_delete) yaml_event_t end = {0};
	TRY(next_event(r, &end)); /* the end of the document */
	AUTO(yaml_event_delete) yaml_event_t ev = {0};
	TRY(next_event(r, &ev));
	if (ev.type == YAML_STREAM_END_EVENT)
		return NULL;
	return bad_at(r, &ev.start_mark, "a second document begins here, only one is expected");
}

static struct err *read_stream(struct reader *r, struct yaml_node **out)
{
	AUTO(yaml_event_delete) yaml_event_t stream = {0};
	TRY(next_event(r, &stream));
	AUTO(yaml_event_delete) yaml_event_t doc = {0};
	TRY(next_event(r, &doc));
	if (doc.type == YAML_STREAM_END_EVENT) {
		*out = node_new(r, YAML_EMPTY, &doc.start_mark);
		return NULL;
	}
	AUTO(yaml_event_delete) yaml_event_t ev = {0};
	TRY(next_event(r, &ev));
	struct yaml_node *n = NULL;
	TRY(read_node(r, &ev, &n));
	TRY(expect_end(r));
	*out = n;
	return NULL;
}

struct err *yaml_parse(struct arena *a, struct str text, const char *path, struct yaml_node **out)
{
	if (text.len > MAX_BYTES)
		return err_new(ERR_INVALID, "%s: larger than %u bytes", path, MAX_BYTES);
	if (text.len && memchr(text.ptr, 0, text.len))
		return err_new(ERR_INVALID, "%s: holds a NUL byte, so it is no YAML text", path);
	AUTO(reader_fini) struct reader r = {.arena = a, .path = path};
	if (!yaml_parser_initialize(&r.parser))
		return err_new(ERR_NO_SPACE, "%s: no memory for the YAML parser", path);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len);
	return read_stream(&r, out);
}

static const char *kind_text(const struct yaml_node *n)
{
	switch (n->kind) {
	case YAML_EMPTY:
		return "nothing";
	case YAML_SCALAR:
		return "text";
	case YAML_LIST:
		return "a list";
	case YAML_MAP:
		return "a map";
	}
	return "?";
}

static struct err *unknown_key(const struct yaml_node *key, const char *path, const char *const *allowed)
{
	struct err *e =
		err_new(ERR_INVALID, "%s:%u:%u: unknown key \"%s\"", path, key->line, key->column, key->text);
	const char *near = str_suggest(key->text, allowed);
	if (near)
		return err_hint(e, "did you mean \"%s\"?", near);
	AUTO_BUF struct buf list = {0};
	for (size_t i = 0; allowed[i]; i++)
		buf_addf(&list, "%s%s", i ? ", " : "", allowed[i]);
	return err_hint(e, "known keys here: %s", buf_cstr(&list));
}

struct err *yaml_check_keys(const struct yaml_node *map, const char *path, const char *const *allowed)
{
	if (!map || map->kind == YAML_EMPTY)
		return NULL;
	if (map->kind != YAML_MAP)
		return err_new(ERR_INVALID, "%s:%u:%u: expected keys with values, found %s", path, map->line,
			map->column, kind_text(map));
	for (size_t i = 0; i < map->count; i++) {
		bool known = false;
		for (size_t k = 0; allowed[k] && !known; k++)
			known = cstr_eq(map->keys[i]->text, allowed[k]);
		if (!known)
			return unknown_key(map->keys[i], path, allowed);
	}
	return NULL;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
	if (!map || map->kind != YAML_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
		if (cstr_eq(map->keys[i]->text, key))
			return map->items[i]->kind == YAML_EMPTY ? NULL : map->items[i];
	return NULL;
}

static struct err *expect_scalar(const struct yaml_node *n, const char *key, const char *path)
{
	if (n->kind == YAML_SCALAR)
		return NULL;
	return err_new(ERR_INVALID, "%s:%u:%u: %s: expected text, found %s", path, n->line, n->column, key,
		kind_text(n));
}

struct err *yaml_get_text(const struct yaml_node *map, const char *key, const char *path, const char **out)
{
	const struct yaml_node *n = yaml_get(map, key);
	if (!n)
		return NULL;
	TRY(expect_scalar(n, key, path));
	*out = n->text;
	return NULL;
}

struct err *yaml_get_bool(const struct yaml_node *map, const char *key, const char *path, bool *out)
{
	static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
	const struct yaml_node *n = yaml_get(map, key);
	if (!n)
		return NULL;
	TRY(expect_scalar(n, key, path));
	for (size_t i = 0; i < ARRAY_LEN(yes) && !n->quoted; i++) {
		bool t = str_eq_nocase(str_c(n->text), yes[i]);
		if (t || str_eq_nocase(str_c(n->text), no[i])) {
			*out = t;
			return NULL;
		}
	}
	return err_hint(err_new(ERR_INVALID, "%s:%u:%u: %s: \"%s\" is neither true nor false", path, n->line,
				n->column, key, n->text),
		"write true or false, without quotes");
}

static bool size_parse(struct str s, uint64_t *out)
{
	static const char prefixes[] = "KMGTP";
	size_t digits = 0;
	while (digits < s.len && s.ptr[digits] >= '0' && s.ptr[digits] <= '9')
		digits++;
	uint64_t value = 0, unit = 1;
	if (!str_to_u64(str_n(s.ptr, digits), &value))
		return false;
	struct str rest = str_trim(str_skip(s, digits));
	char first = rest.len ? rest.ptr[0] : 0;
	const char *prefix = first ? strchr(prefixes, first == 'k' ? 'K' : first) : NULL;
	if (prefix) {
		rest = str_skip(rest, 1);
		bool binary = rest.len && rest.ptr[0] == 'i';
		if (binary)
			rest = str_skip(rest, 1);
		for (const char *p = prefixes; p <= prefix; p++)
			unit *= binary ? 1024 : 1000;
	}
	if (rest.len && !str_eq_c(rest, "B"))
		return false;
	return !__builtin_mul_overflow(value, unit, out);
}

struct err *yaml_get_size(const struct yaml_node *map, const char *key, const char *path, uint64_t *out)
{
	const struct yaml_node *n = yaml_get(map, key);
	if (!n)
		return NULL;
	TRY(expect_scalar(n, key, path));
	uint64_t size = 0;
	if (!size_parse(str_c(n->text), &size))
		return err_hint(err_new(ERR_INVALID, "%s:%u:%u: %s: \"%s\" is no size", path, n->line,
					n->column, key, n->text),
			"write a whole number of bytes or one with a unit, like 512MiB or 20GB");
	*out = size;
	return NULL;
}

struct err *yaml_get_texts(const struct yaml_node *map, const char *key, const char *path, struct strvec *out)
{
	const struct yaml_node *n = yaml_get(map, key);
	if (!n)
		return NULL;
	if (n->kind == YAML_SCALAR) {
		strvec_push(out, n->text);
		return NULL;
	}
	if (n->kind != YAML_LIST)
		return err_new(ERR_INVALID, "%s:%u:%u: %s: expected a list of texts, found %s", path, n->line,
			n->column, key, kind_text(n));
	for (size_t i = 0; i < n->count; i++)
		if (n->items[i]->kind != YAML_SCALAR)
			return bad_node(n->items[i], path, "expected text in the list");
	for (size_t i = 0; i < n->count; i++)
		strvec_push(out, n->items[i]->text);
	return NULL;
}
