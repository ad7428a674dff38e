/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cases.h"

#include "base/arena.h"
#include "base/event.h"
#include "repo/repo.h"
#include "repo/service_versions.h"
#include "repo/yaml.h"

#include <string.h>

static enum build_kind kind_of(const char *name)
{
	for (int k = 0; k < BUILD_KINDS; k++)
		if (cstr_eq(build_kind_name(k), name))
			return k;
	fail_msg("unknown kind %s", name);
	return 0;
}

static void keep_warning(void *ctx, const struct event *e)
{
	struct buf *b = ctx;
	assert_int_equal(e->type, EVENT_WARNING);
	buf_addf(b, " (warning: " STR_FMT ")", STR_ARG(e->text));
}

static void add_list(struct buf *b, const char *name, const struct strvec *v)
{
	buf_addf(b, " %s=", name);
	for (size_t i = 0; i < v->len; i++)
		buf_addf(b, "%s%s", i ? "," : "", v->ptr[i]);
}

static void add_text(struct buf *b, const char *name, const char *value)
{
	if (value)
		buf_addf(b, "%s%s=%s", b->len ? " " : "", name, value);
}

static void config_text(const struct repo_config *c, struct buf *b)
{
	add_text(b, "registry", c->registry);
	add_text(b, "namespace", c->namespace_);
	add_text(b, "main", c->main_ref);
	add_text(b, "containers", c->containers);
	add_list(b, "manifests", &c->manifests);
	add_list(b, "helpers", &c->helpers);
	add_list(b, "runners", &c->runners);
	add_text(b, "server", c->server);
}

static void services_text(const struct service_versions *v, struct buf *b)
{
	for (size_t i = 0; i < v->services.len; i++) {
		const struct service_version *s = vec_at(&v->services, i);
		buf_addf(b, "%s%s=%s@%u", i ? " " : "", s->name, s->version ? s->version : "(none)", s->line);
	}
	add_list(b, "names", &v->names);
	add_list(b, "exempt", &v->exempt);
}

static struct err *run(const struct test_case *c, struct buf *result)
{
	if (cstr_eq(c->kind, "services")) {
		AUTO(service_versions_fini) struct service_versions v = {0};
		TRY(service_versions_parse(c->text, SERVICE_VERSIONS_FILE, &v));
		services_text(&v, result);
		return NULL;
	}
	if (cstr_eq(c->kind, "config")) {
		AUTO(repo_config_fini) struct repo_config cfg = {0};
		TRY(repo_config_parse(c->text, "cooper.yaml", "My Repo", &cfg));
		config_text(&cfg, result);
		return NULL;
	}
	if (cstr_eq(c->kind, "yaml")) {
		AUTO(arena_freep) struct arena *a = arena_new();
		struct yaml_node *n = NULL;
		return yaml_parse(a, c->text, "file", &n);
	}
	struct event_stream *events = event_stream_new();
	AUTO_BUF struct buf warnings = {0};
	event_stream_add(events, keep_warning, &warnings);
	AUTO_FREE char *v = NULL;
	struct err *e = version_extract(kind_of(c->kind), c->text, "containers/x/file", events, &v);
	event_stream_free(events);
	buf_addf(result, "%s%s", v ? v : "none", buf_cstr(&warnings));
	return e;
}

static void accepted(const struct test_case *c)
{
	AUTO_BUF struct buf got = {0};
	AUTO(err_freep) struct err *e = run(c, &got);
	AUTO_FREE char *why = e ? err_text(e) : NULL;
	assert_string_equal(why ? why : "", "");
	assert_string_equal(buf_cstr(&got), c->expect);
}

static void rejected(const struct test_case *c)
{
	AUTO_BUF struct buf got = {0};
	AUTO(err_freep) struct err *e = run(c, &got);
	assert_non_null(e);
	assert_int_equal(err_kind(e), ERR_INVALID);
	AUTO_FREE char *text = err_text(e);
	AUTO_FREE char *full = mem_printf("%s / %s", text, err_hint_text(e) ? err_hint_text(e) : "");
	if (!strstr(full, c->expect))
		fail_msg("%s: got \"%s\", expected \"%s\"", c->name, full, c->expect);
}

static void test_accept(void **state)
{
	(void)state;
	each_case(CASES_DIR "/cases", accepted);
}

static void test_reject(void **state)
{
	(void)state;
	each_case(CASES_DIR "/reject", rejected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_reject),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
