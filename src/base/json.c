/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/str_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Deeper than any document we know; jansson's own limit would let recursion eat a small stack. */
#define JSON_DEPTH_MAX 200

void json_unrefp(json_t **j)
{
	json_decref(*j);
	*j = NULL;
}

static bool too_deep(struct str text)
{
	size_t depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '{' || c == '['))
			depth++;
		else if (!quoted && (c == '}' || c == ']') && depth > 0)
			depth--;
		if (depth > JSON_DEPTH_MAX)
			return true;
	}
	return false;
}

struct err *json_parse(struct str text, const char *what, json_t **out)
{
	if (too_deep(text))
		return err_new(ERR_INVALID, "%s: nested deeper than %d", what, JSON_DEPTH_MAX);
	json_error_t why;
	json_t *j = json_loadb(
		text.ptr ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (!j)
		return err_new(
			ERR_INVALID, "%s: line %d, column %d: %s", what, why.line, why.column, why.text);
	*out = j;
	return NULL;
}

static const char *type_name(const json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

static struct err *wrong_type(const char *what, const char *key, const char *wanted, const json_t *got)
{
	return err_new(ERR_INVALID, "%s: \"%s\" must be %s, not %s", what, key, wanted, type_name(got));
}

/* The member or NULL if it is absent or null. */
static struct err *member(const json_t *o, const char *key, const char *what, json_t **out)
{
	*out = NULL;
	if (!o || json_is_null(o))
		return NULL;
	if (!json_is_object(o))
		return err_new(ERR_INVALID, "%s: must be an object, not %s", what, type_name(o));
	json_t *v = json_object_get(o, key);
	*out = v && !json_is_null(v) ? v : NULL;
	return NULL;
}

struct err *json_get_string(const json_t *o, const char *key, const char *what, const char **out)
{
	json_t *v = NULL;
	TRY(member(o, key, what, &v));
	if (v && !json_is_string(v))
		return wrong_type(what, key, "a string", v);
	*out = json_string_value(v);
	return NULL;
}

struct err *json_get_int(const json_t *o, const char *key, const char *what, int64_t *out)
{
	json_t *v = NULL;
	TRY(member(o, key, what, &v));
	if (v && !json_is_integer(v))
		return wrong_type(what, key, "an integer", v);
	*out = json_integer_value(v);
	return NULL;
}

struct err *json_get_bool(const json_t *o, const char *key, const char *what, bool *out)
{
	json_t *v = NULL;
	TRY(member(o, key, what, &v));
	if (v && !json_is_boolean(v))
		return wrong_type(what, key, "a boolean", v);
	if (v)
		*out = json_is_true(v);
	return NULL;
}

struct err *json_get_object(const json_t *o, const char *key, const char *what, json_t **out)
{
	json_t *v = NULL;
	TRY(member(o, key, what, &v));
	if (v && !json_is_object(v))
		return wrong_type(what, key, "an object", v);
	*out = v;
	return NULL;
}

struct err *json_get_array(const json_t *o, const char *key, const char *what, json_t **out)
{
	json_t *v = NULL;
	TRY(member(o, key, what, &v));
	if (v && !json_is_array(v))
		return wrong_type(what, key, "an array", v);
	*out = v;
	return NULL;
}

struct err *json_get_strings(const json_t *o, const char *key, const char *what, struct strvec *out)
{
	json_t *list = NULL;
	TRY(json_get_array(o, key, what, &list));
	size_t n = json_array_size(list);
	/* All are checked before the first is added: on error out stays as it was. */
	for (size_t i = 0; i < n; i++)
		if (!json_is_string(json_array_get(list, i)))
			return wrong_type(what, key, "an array of strings", json_array_get(list, i));
	for (size_t i = 0; i < n; i++)
		strvec_push(out, json_string_value(json_array_get(list, i)));
	return NULL;
}

json_t *json_text(const char *s)
{
	return json_text_n(s, strlen(s));
}

json_t *json_text_n(const char *s, size_t len)
{
	struct str rest = str_n(s, len);
	AUTO_BUF struct buf clean = {0};
	if (!str_is_utf8(rest) || str_index(rest, '\0') >= 0) {
		while (rest.len > 0) {
			size_t n = rest.ptr[0] ? str_utf8_next(rest, NULL) : 0;
			if (n > 0)
				buf_add(&clean, rest.ptr, n);
			else
				buf_adds(&clean, "\xef\xbf\xbd");
			rest = str_skip(rest, n ? n : 1);
		}
		rest = buf_str(&clean);
	}
	json_t *j = json_stringn_nocheck(rest.ptr ? rest.ptr : "", rest.len);
	assert(j);
	return j;
}

json_t *json_from_strings(const char *const *list)
{
	json_t *array = json_array();
	for (; list && *list; list++)
		json_array_append_new(array, json_text(*list));
	return array;
}

void json_set_text(json_t *o, const char *key, const char *s)
{
	if (s)
		json_object_set_new(o, key, json_text(s));
}

json_t *json_need_object(json_t *o, const char *key)
{
	json_t *at = json_object_get(o, key);

	if (!json_is_object(at)) {
		at = json_object();
		json_object_set_new(o, key, at);
	}
	return at;
}

static char *dump(const json_t *j, size_t flags)
{
	char *text = json_dumps(j, flags | JSON_ENCODE_ANY);
	/* Only a value that holds itself, or no memory, can fail here. */
	assert(text);
	return text;
}

char *json_dump(const json_t *j, bool sort)
{
	return dump(j, JSON_COMPACT | (sort ? JSON_SORT_KEYS : 0));
}

char *json_dump_pretty(const json_t *j)
{
	return dump(j, JSON_INDENT(2));
}
