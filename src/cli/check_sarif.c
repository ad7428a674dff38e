/* SPDX-License-Identifier: Apache-2.0 */
/* SARIF 2.1.0: what forges show beside the lines of a pull request. */
#include "base/mem.h"
#include "cli/check_output.h"

#include <ctype.h>

#define SCHEMA "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

static json_t *message(const char *text)
{
	json_t *o = json_object();

	json_set_text(o, "text", text);
	return o;
}

static json_t *rule_json(enum check_rule rule)
{
	const struct check_rule_text *text = check_rule_text(rule);
	json_t *o = json_object();

	json_set_text(o, "id", text->id);
	json_object_set_new(o, "shortDescription", message(text->what));
	json_object_set_new(o, "help", message(text->fix));
	return o;
}

static json_t *tool_json(void)
{
	json_t *tool = json_object(), *driver = json_object(), *rules = json_array();

	json_set_text(driver, "name", "cooper");
	json_set_text(driver, "version", COOPER_VERSION);
	for (int i = 0; i < CHECK_RULES; i++)
		json_array_append_new(rules, rule_json((enum check_rule)i));
	json_object_set_new(driver, "rules", rules);
	json_object_set_new(tool, "driver", driver);
	return tool;
}

/* A path as a relative reference (RFC 3986): a colon in the first part would begin a scheme. */
static char *uri_of(const char *path)
{
	AUTO_BUF struct buf b = {0};

	for (const char *c = path; *c; c++) {
		unsigned char u = (unsigned char)*c;
		if (isalnum(u) || *c == '/' || *c == '-' || *c == '.' || *c == '_' || *c == '~')
			buf_addc(&b, *c);
		else
			buf_addf(&b, "%%%02X", u);
	}
	return buf_steal(&b);
}

static json_t *location_json(const struct violation *v)
{
	json_t *o = json_object(), *physical = json_object(), *artifact = json_object();
	AUTO_FREE char *uri = uri_of(v->file);

	json_set_text(artifact, "uri", uri);
	json_set_text(artifact, "uriBaseId", "%SRCROOT%");
	json_object_set_new(physical, "artifactLocation", artifact);
	if (v->line) {
		json_t *region = json_object();
		json_object_set_new(region, "startLine", json_integer(v->line));
		json_object_set_new(physical, "region", region);
	}
	json_object_set_new(o, "physicalLocation", physical);
	return o;
}

static json_t *result_json(const struct violation *v)
{
	json_t *o = json_object(), *locations = json_array();

	json_set_text(o, "ruleId", check_rule_text(v->rule)->id);
	json_object_set_new(o, "ruleIndex", json_integer(v->rule));
	json_set_text(o, "level", v->warning ? "warning" : "error");
	json_object_set_new(o, "message", message(v->message));
	json_array_append_new(locations, location_json(v));
	json_object_set_new(o, "locations", locations);
	return o;
}

json_t *check_sarif(const struct check_report *r)
{
	json_t *o = json_object(), *runs = json_array(), *run = json_object(), *results = json_array();

	for (size_t i = 0; i < r->violations.len; i++)
		json_array_append_new(results, result_json(vec_at(&r->violations, i)));
	json_object_set_new(run, "tool", tool_json());
	json_object_set_new(run, "results", results);
	json_array_append_new(runs, run);
	json_set_text(o, "$schema", SCHEMA);
	json_set_text(o, "version", "2.1.0");
	json_object_set_new(o, "runs", runs);
	return o;
}
