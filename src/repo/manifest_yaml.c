/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/mem.h"
#include "repo/manifest_internal.h"

#include <string.h>
#include <yaml.h>

/* Schemas in resource definitions nest far deeper than what people write. */
#define MAX_DEPTH 200
#define MAX_NODES 500000
#define MAX_MERGED_KEYS 256
#define BYTE_ORDER_MARK "\xEF\xBB\xBF"
/* A byte offset is kept for every so many characters. */
#define MARK_EVERY 64

struct reader {
	struct arena *arena;
	struct str text;
	const char *path;
	yaml_parser_t parser;
	unsigned depth;
	size_t nodes;
	struct map *anchors; /* of the document */
	uint32_t *marks;     /* NULL: all characters are one byte */
	size_t skipped;      /* bytes before text */
};

static void reader_fini(struct reader *r)
{
	yaml_parser_delete(&r->parser);
	map_freep(&r->anchors);
}

static bool starts_character(char c)
{
	return ((unsigned char)c & 0xC0) != 0x80;
}

/* libyaml counts characters, not bytes. */
static void mark_bytes(struct reader *r)
{
	size_t chars = 0;
	for (size_t i = 0; i < r->text.len; i++)
		chars += starts_character(r->text.ptr[i]);
	if (chars == r->text.len)
		return;
	r->marks = arena_array(r->arena, chars / MARK_EVERY + 1, sizeof(*r->marks));
	size_t at = 0;
	for (size_t i = 0; i < r->text.len; i++) {
		if (!starts_character(r->text.ptr[i]))
			continue;
		if (at % MARK_EVERY == 0)
			r->marks[at / MARK_EVERY] = (uint32_t)i;
		at++;
	}
	if (at % MARK_EVERY == 0) /* the end of the text has a mark too */
		r->marks[at / MARK_EVERY] = (uint32_t)r->text.len;
}

static size_t byte_of(const struct reader *r, size_t character)
{
	if (!r->marks)
		return r->skipped + (character < r->text.len ? character : r->text.len);
	size_t i = r->marks[character / MARK_EVERY];
	for (size_t left = character % MARK_EVERY; left > 0 && i < r->text.len; left--) {
		i++;
		while (i < r->text.len && !starts_character(r->text.ptr[i]))
			i++;
	}
	return r->skipped + i;
}

static struct err *bad_at(const struct reader *r, const yaml_mark_t *at, const char *what)
{
	return err_new(ERR_INVALID, "%s:%zu:%zu: %s", r->path, at->line + 1, at->column + 1, what);
}

static struct err *next_event(struct reader *r, yaml_event_t *ev)
{
	if (yaml_parser_parse(&r->parser, ev))
		return NULL;
	const yaml_parser_t *p = &r->parser;
	const char *what = p->problem ? p->problem : "not YAML";
	if (p->error == YAML_READER_ERROR)
		return err_new(ERR_INVALID, "%s: byte %zu: %s", r->path, p->problem_offset + 1, what);
	return bad_at(r, &p->problem_mark, what);
}

static struct manifest_node *node_new(struct reader *r, enum manifest_kind kind, const yaml_event_t *ev)
{
	struct manifest_node *n = arena_new_of(r->arena, struct manifest_node);
	n->kind = kind;
	n->line = (uint32_t)ev->start_mark.line + 1;
	n->column = (uint32_t)ev->start_mark.column + 1;
	n->begin = byte_of(r, ev->start_mark.index);
	n->end = byte_of(r, ev->end_mark.index);
	return n;
}

static void set_anchor(struct reader *r, struct manifest_node *n, const yaml_char_t *anchor)
{
	if (!anchor)
		return;
	n->anchor = arena_strdup(r->arena, (const char *)anchor);
	map_set_c(r->anchors, n->anchor, n);
}

static enum manifest_style style_of(yaml_scalar_style_t s)
{
	switch (s) {
	case YAML_SINGLE_QUOTED_SCALAR_STYLE:
		return MANIFEST_SINGLE;
	case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
		return MANIFEST_DOUBLE;
	case YAML_LITERAL_SCALAR_STYLE:
	case YAML_FOLDED_SCALAR_STYLE:
		return MANIFEST_BLOCK;
	default:
		return MANIFEST_PLAIN;
	}
}

static struct err *read_scalar(struct reader *r, const yaml_event_t *ev, struct manifest_node **out)
{
	const char *value = (const char *)ev->data.scalar.value;
	size_t len = ev->data.scalar.length;
	if (memchr(value, 0, len))
		return bad_at(r, &ev->start_mark, "the text holds a NUL character");
	struct manifest_node *n = node_new(r, MANIFEST_SCALAR, ev);
	n->text = arena_strndup(r->arena, value, len);
	n->style = style_of(ev->data.scalar.style);
	if (ev->data.scalar.tag)
		n->type = arena_strdup(r->arena, (const char *)ev->data.scalar.tag);
	set_anchor(r, n, ev->data.scalar.anchor);
	*out = n;
	return NULL;
}

static struct err *read_alias(struct reader *r, const yaml_event_t *ev, struct manifest_node **out)
{
	const char *name = (const char *)ev->data.alias.anchor;
	struct manifest_node *target = map_get_c(r->anchors, name);
	if (!target)
		return bad_at(r, &ev->start_mark, "an alias of something that is not defined before");
	struct manifest_node *n = node_new(r, MANIFEST_ALIAS, ev);
	n->text = arena_strdup(r->arena, name);
	n->target = target;
	target->aliased = true;
	*out = n;
	return NULL;
}

static struct err *read_node(struct reader *r, const yaml_event_t *ev, struct manifest_node **out);

static struct err *read_list(struct reader *r, const yaml_event_t *start, struct manifest_node **out)
{
	struct manifest_node *n = node_new(r, MANIFEST_LIST, start);
	set_anchor(r, n, start->data.sequence_start.anchor);
	AUTO(vec_fini) struct vec items = VEC_OF(struct manifest_node *);
	for (;;) {
		AUTO(yaml_event_delete) yaml_event_t ev = {0};
		TRY(next_event(r, &ev));
		if (ev.type == YAML_SEQUENCE_END_EVENT)
			break;
		struct manifest_node *item = NULL;
		TRY(read_node(r, &ev, &item));
		vec_push_copy(&items, &item);
	}
	n->count = items.len;
	if (items.len)
		n->items = arena_dup(r->arena, items.ptr, items.len * sizeof(n));
	*out = n;
	return NULL;
}

/* "<<" may stand in a map more than once, as some writers do; what it brings is judged where it is used. */
static void note_key(struct map *seen, struct manifest_node *key)
{
	const char *text = manifest_text(key);
	if (!text || cstr_eq(text, "<<"))
		return;
	struct manifest_node *before = map_get_c(seen, text);
	if (before)
		before->twice = key->twice = true;
	else
		map_set_c(seen, text, key);
}

static struct err *read_map(struct reader *r, const yaml_event_t *start, struct manifest_node **out)
{
	struct manifest_node *n = node_new(r, MANIFEST_MAP, start);
	set_anchor(r, n, start->data.mapping_start.anchor);
	AUTO(vec_fini) struct vec keys = VEC_OF(struct manifest_node *);
	AUTO(vec_fini) struct vec items = VEC_OF(struct manifest_node *);
	AUTO(map_freep) struct map *seen = map_new(NULL);
	for (;;) {
		AUTO(yaml_event_delete) yaml_event_t ev = {0}, val = {0};
		TRY(next_event(r, &ev));
		if (ev.type == YAML_MAPPING_END_EVENT)
			break;
		struct manifest_node *key = NULL, *item = NULL;
		TRY(read_node(r, &ev, &key));
		TRY(next_event(r, &val));
		TRY(read_node(r, &val, &item));
		note_key(seen, key);
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

static struct err *read_node(struct reader *r, const yaml_event_t *ev, struct manifest_node **out)
{
	if (++r->nodes > MAX_NODES)
		return bad_at(r, &ev->start_mark, "too many values in one file");
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
		e = read_alias(r, ev, out);
		break;
	default:
		e = bad_at(r, &ev->start_mark, "a value is missing");
	}
	r->depth--;
	return e;
}

static struct err *read_document(struct reader *r, struct vec *documents)
{
	map_freep(&r->anchors);
	r->anchors = map_new(NULL);
	AUTO(yaml_event_delete) yaml_event_t ev = {0}, end = {0};
	TRY(next_event(r, &ev));
	struct manifest_node *n = NULL;
	TRY(read_node(r, &ev, &n));
	TRY(next_event(r, &end));
	vec_push_copy(documents, &n);
	return NULL;
}

static struct err *read_stream(struct reader *r, struct vec *documents)
{
	for (;;) {
		AUTO(yaml_event_delete) yaml_event_t ev = {0};
		TRY(next_event(r, &ev));
		if (ev.type == YAML_STREAM_END_EVENT || ev.type == YAML_NO_EVENT)
			return NULL;
		if (ev.type == YAML_DOCUMENT_START_EVENT)
			TRY(read_document(r, documents));
	}
}

struct err *manifest_yaml_parse(struct arena *a, struct str text, const char *path, struct vec *documents)
{
	if (text.len > MANIFEST_MAX_BYTES)
		return err_new(ERR_INVALID, "%s: larger than %u bytes", path, MANIFEST_MAX_BYTES);
	if (text.len && memchr(text.ptr, 0, text.len))
		return err_new(ERR_INVALID, "%s: holds a NUL byte, so it is no YAML text", path);
	AUTO(reader_fini) struct reader r = {.arena = a, .text = text, .path = path};
	if (!yaml_parser_initialize(&r.parser))
		return err_new(ERR_NO_SPACE, "%s: no memory for the YAML parser", path);
	/* To libyaml it would be a character before the first key: the others then stand elsewhere. */
	if (str_starts(text, BYTE_ORDER_MARK))
		r.skipped = strlen(BYTE_ORDER_MARK);
	r.text = text = str_skip(text, r.skipped);
	mark_bytes(&r);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len);
	return read_stream(&r, documents);
}

const struct manifest_node *manifest_resolve(const struct manifest_node *n)
{
	return n && n->kind == MANIFEST_ALIAS ? n->target : n;
}

const char *manifest_text(const struct manifest_node *n)
{
	n = manifest_resolve(n);
	return n && n->kind == MANIFEST_SCALAR ? n->text : NULL;
}

static const struct manifest_node *own_value(const struct manifest_node *map, const char *key)
{
	for (size_t i = 0; i < map->count; i++)
		if (cstr_eq(manifest_text(map->keys[i]), key))
			return map->items[i];
	return NULL;
}

/* Of a map that is merged into another. left: how many keys may still be looked at, as merges can be nested
 * and repeated without end. */
static const struct manifest_node *merged_value(
	const struct manifest_node *from, const char *key, size_t *left)
{
	from = manifest_resolve(from);
	const struct manifest_node *found = NULL;
	if (from->count >= *left)
		return NULL;
	*left -= from->count + 1;
	if (from->kind == MANIFEST_MAP)
		found = own_value(from, key);
	for (size_t i = 0; i < from->count && !found; i++)
		if (from->kind == MANIFEST_LIST || cstr_eq(manifest_text(from->keys[i]), "<<"))
			found = merged_value(from->items[i], key, left);
	return found;
}

const struct manifest_node *manifest_get(const struct manifest_node *map, const char *key, bool *merged)
{
	if (!map || map->kind != MANIFEST_MAP)
		return NULL;
	const struct manifest_node *found = own_value(map, key);
	size_t left = MAX_MERGED_KEYS;
	for (size_t i = 0; i < map->count && !found; i++) {
		if (!cstr_eq(manifest_text(map->keys[i]), "<<"))
			continue;
		found = merged_value(map->items[i], key, &left);
		*merged |= found != NULL;
	}
	return found;
}
