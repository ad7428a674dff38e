/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Glue to jansson: bounded parsing with messages that name the place, typed getters, canonical output.
 * Canonical: keys in the given (insertion) order or sorted, no blanks; equal values give equal bytes.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#include <jansson.h>
#include <stdint.h>

void json_unrefp(json_t **j);
#define AUTO_JSON AUTO(json_unrefp)

/* what names the document in messages. Depth is bounded, duplicate keys refused. Caller owns *out. */
MUST_USE struct err *json_parse(struct str text, const char *what, json_t **out);

/*
 * Absent or null gives success and: NULL for strings, objects and arrays; 0 for integers; a bool keeps what
 * *out held, the default; of strings, nothing is added. Another type is ERR_INVALID naming what and key.
 * o may be NULL (all is absent).
 */
MUST_USE struct err *json_get_string(const json_t *o, const char *key, const char *what, const char **out);
MUST_USE struct err *json_get_int(const json_t *o, const char *key, const char *what, int64_t *out);
MUST_USE struct err *json_get_bool(const json_t *o, const char *key, const char *what, bool *out);
MUST_USE struct err *json_get_object(
	const json_t *o, const char *key, const char *what, json_t **out); /* borrowed */
MUST_USE struct err *json_get_array(
	const json_t *o, const char *key, const char *what, json_t **out); /* borrowed */
MUST_USE struct err *json_get_strings(const json_t *o, const char *key, const char *what, struct strvec *out);

/* Never fails: a string of any bytes (invalid UTF-8, and NUL, become U+FFFD). */
json_t *json_text(const char *s);
json_t *json_text_n(const char *s, size_t len);
json_t *json_from_strings(const char *const *list);            /* NULL-terminated */
void json_set_text(json_t *o, const char *key, const char *s); /* nothing for NULL */
/* The member key, which becomes an empty object unless it is one; borrowed. */
json_t *json_need_object(json_t *o, const char *key);

/* Compact bytes in insertion order; sorted keys if sort. Caller frees. */
char *json_dump(const json_t *j, bool sort);
/* Indented for people. Caller frees. */
char *json_dump_pretty(const json_t *j);
