/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_output.h"

static const char *provenance_name(enum provenance p)
{
	static const char *const names[] = {"main", "branch", "unknown"};

	return names[p];
}

/* null for NULL. */
static void set(json_t *o, const char *key, const char *text)
{
	json_object_set_new(o, key, text ? json_text(text) : json_null());
}

static void set_line(json_t *o, uint32_t line)
{
	json_object_set_new(o, "line", line ? json_integer(line) : json_null());
}

static json_t *pin_json(const struct checked_pin *p)
{
	json_t *o = json_object();

	set(o, "file", p->pin->file);
	set_line(o, p->pin->line);
	set(o, "form", pin_form_name(p->pin->form));
	set(o, "image", p->pin->image);
	set(o, "tag", p->pin->tag);
	set(o, "digest", p->pin->digest);
	set(o, "provenance", provenance_name(p->provenance));
	set(o, "reason", p->reason);
	set(o, "commit", *p->commit ? p->commit : NULL);
	set(o, "registry", registry_state_name(p->registry));
	return o;
}

static json_t *violation_json(const struct violation *v)
{
	json_t *o = json_object();

	set(o, "rule", check_rule_text(v->rule)->id);
	set(o, "level", v->warning ? "warning" : "error");
	set(o, "file", v->file);
	set_line(o, v->line);
	set(o, "message", v->message);
	return o;
}

json_t *check_json(const struct check_report *r)
{
	json_t *o = json_object(), *pins = json_array(), *violations = json_array();

	for (size_t i = 0; i < r->pins.len; i++)
		json_array_append_new(pins, pin_json(vec_at(&r->pins, i)));
	for (size_t i = 0; i < r->violations.len; i++)
		json_array_append_new(violations, violation_json(vec_at(&r->violations, i)));
	json_object_set_new(o, "pins", pins);
	json_object_set_new(o, "violations", violations);
	return o;
}
