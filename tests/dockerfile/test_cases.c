/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the cases in cases/ and reject/. COOPER_UPDATE_CASES=1 writes what came out into them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"
#include "base/mem.h"
#include "case_file.h"
#include "dockerfile/ast.h"
#include "fake_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A case's request, taken apart. */
struct request {
	struct strvec text; /* keeps what the rest points to */
	struct strvec build_args, labels, no_cache_stages, proxies;
	struct vec contexts;
	struct dockerfile_request rq;
};

static void request_fini(struct request *r)
{
	strvec_fini(&r->text);
	strvec_fini(&r->build_args);
	strvec_fini(&r->labels);
	strvec_fini(&r->no_cache_stages);
	strvec_fini(&r->proxies);
	vec_fini(&r->contexts);
}

static const char *keep(struct request *r, const char *s)
{
	strvec_push(&r->text, s);
	return r->text.ptr[r->text.len - 1];
}

static void add_context(struct request *r, const char *pair)
{
	const char *eq = strchr(pair, '=');
	assert_non_null(eq);
	char *name AUTO_FREE = mem_strndup(pair, (size_t)(eq - pair));
	struct named_context c = {.name = keep(r, name)};
	if (cstr_starts(eq + 1, "docker-image://"))
		c.image = keep(r, eq + 1);
	else if (strstr(eq + 1, "://"))
		c.url = keep(r, eq + 1);
	else
		c.local = keep(r, eq + 1);
	vec_push_copy(&r->contexts, &c);
}

static void request_line(struct request *r, const char *key, const char *value)
{
	if (strcmp(key, "build-arg") == 0)
		strvec_push(&r->build_args, value);
	else if (strcmp(key, "label") == 0)
		strvec_push(&r->labels, value);
	else if (strcmp(key, "no-cache-stage") == 0)
		strvec_push(&r->no_cache_stages, value);
	else if (strcmp(key, "proxy") == 0)
		strvec_push(&r->proxies, value);
	else if (strcmp(key, "context") == 0)
		add_context(r, value);
	else if (strcmp(key, "target") == 0)
		r->rq.target = keep(r, value);
	else if (strcmp(key, "platform") == 0)
		r->rq.platform = keep(r, value);
	else if (strcmp(key, "no-cache") == 0)
		r->rq.no_cache = true;
	else if (strcmp(key, "allow-insecure") == 0)
		r->rq.allow_insecure = true;
	else
		fail_msg("unknown request key %s", key);
}

static void request_init(struct request *r, const struct case_file *c, const struct dockerfile_host *host)
{
	*r = (struct request){.contexts = VEC_OF(struct named_context)};
	r->rq.path = "Dockerfile";
	r->rq.text = str_c(case_section(c, "dockerfile")->text);
	r->rq.platform = "linux/amd64";
	r->rq.build_platform = "linux/amd64";
	r->rq.created = INT64_C(1700000000) * 1000000000;
	r->rq.host = host;
	const struct section *ignore = case_section(c, "ignore"), *s = case_section(c, "request");
	if (ignore) {
		r->rq.ignore_path = ".dockerignore";
		r->rq.ignore_text = str_c(ignore->text);
	}
	struct str rest = str_c(s ? s->text : ""), line;
	while (rest.len && str_split(&rest, '\n', &line)) {
		char *text AUTO_FREE = mem_strndup(line.ptr, line.len);
		char *value = strchr(text, ' ');
		if (value)
			*value++ = 0;
		if (*text)
			request_line(r, text, value ? value : "");
	}
	r->rq.build_args = strvec_list(&r->build_args);
	r->rq.labels = strvec_list(&r->labels);
	r->rq.no_cache_stages = strvec_list(&r->no_cache_stages);
	r->rq.proxy_env = strvec_list(&r->proxies);
	r->rq.contexts = r->contexts.ptr;
	r->rq.context_count = r->contexts.len;
}

static void collect(const struct node *n, struct map *seen, struct buf *out)
{
	char key[32];
	snprintf(key, sizeof(key), "%u", (unsigned)(n ? node_number(n) : 0));
	if (!n || map_get_c(seen, key))
		return;
	map_set_c(seen, key, (void *)seen);
	for (size_t i = 0; i < node_input_count(n); i++)
		collect(node_input(n, i), seen, out);
	const struct node_label *l = node_label(n);
	buf_addf(out, "%u(", (unsigned)node_number(n));
	for (size_t i = 0; i < node_input_count(n); i++)
		buf_addf(out, "%s%u", i ? " " : "",
			(unsigned)(node_input(n, i) ? node_number(node_input(n, i)) : 0));
	char *json = op_json(node_op(n));
	buf_addf(out, ") %u-%u%s%s %s\n    %s\n", (unsigned)l->where.line, (unsigned)l->where.end_line,
		l->hidden ? " hidden" : "", l->ignore_cache ? " no-cache" : "", l->name ? l->name : "-",
		json);
	free(json);
}

static void on_event(void *ctx, const struct event *e)
{
	struct buf *out = ctx;
	if (e->type == EVENT_WARNING)
		buf_addf(out, "%s:%u: " STR_FMT "\n", e->where.file ? e->where.file : "-",
			(unsigned)e->where.line, STR_ARG(e->text));
}

struct outcome {
	struct buf ast, plan, config, warnings, error, asked;
};

static void outcome_fini(struct outcome *o)
{
	buf_fini(&o->ast);
	buf_fini(&o->plan);
	buf_fini(&o->config);
	buf_fini(&o->warnings);
	buf_fini(&o->error);
	buf_fini(&o->asked);
}

static void lower_case(const struct case_file *c, struct outcome *o)
{
	struct fake_host host;
	fake_host_init(&host, c);
	struct request r AUTO(request_fini);
	request_init(&r, c, &host.host);
	struct event_stream *events = event_stream_new();
	event_stream_add(events, on_event, &o->warnings);
	r.rq.events = events;
	struct graph *g AUTO(graph_freep) = graph_new();
	struct dockerfile_build b AUTO(dockerfile_build_fini) = {0};
	struct err *why AUTO(err_freep) = dockerfile_lower(&r.rq, g, &b);
	if (why) {
		char *text AUTO_FREE = err_text(why);
		buf_addf(&o->error, "%s\n", text);
		if (err_hint_text(why))
			buf_addf(&o->error, "hint: %s\n", err_hint_text(why));
	} else {
		struct map *seen = map_new(NULL);
		collect(b.root, seen, &o->plan);
		map_free(seen);
		buf_addf(&o->plan, "layers %zu\n", b.history_layers);
		char *json AUTO_FREE = json_dump_pretty(b.config);
		buf_addf(&o->config, "%s\n", json);
	}
	for (size_t i = 0; i < host.asked.len; i++)
		buf_addf(&o->asked, "%s\n", host.asked.ptr[i]);
	event_stream_free(events);
	fake_host_fini(&host);
}

static void dump_case(const struct case_file *c, struct outcome *o)
{
	struct arena *a AUTO(arena_freep) = arena_new();
	struct diag d AUTO(diag_fini) = {.path = "Dockerfile"};
	struct ast ast;
	ast_parse(a, &d, str_c(case_section(c, "dockerfile")->text), &ast);
	ast_dump(&ast, &o->ast);
	struct err *why AUTO(err_freep) = diag_err(&d);
	if (why)
		buf_addf(&o->ast, "error: %s\n", err_message(why));
}

/* Compares one section; in update mode rewrites it. */
static bool section_ok(struct case_file *c, const char *name, const struct buf *got)
{
	struct section *s = case_section(c, name);
	if (!s || strcmp(s->text, buf_cstr(got)) == 0)
		return true;
	if (getenv("COOPER_UPDATE_CASES")) {
		free(s->text);
		s->text = mem_strdup(buf_cstr(got));
		assert_true(case_write(c));
		return true;
	}
	fprintf(stderr, "%s: section %s differs\n--- expected\n%s--- got\n%s---\n", c->path, name, s->text,
		buf_cstr(got));
	return false;
}

static bool run_case(const char *path)
{
	struct case_file c AUTO(case_fini);
	if (!case_read(path, &c) || !case_section(&c, "dockerfile")) {
		fprintf(stderr, "%s: no case\n", path);
		return false;
	}
	struct outcome o AUTO(outcome_fini) = {0};
	bool only_ast = case_section(&c, "ast") && !case_section(&c, "plan") && !case_section(&c, "error");
	if (case_section(&c, "ast"))
		dump_case(&c, &o);
	if (!only_ast)
		lower_case(&c, &o);
	const struct {
		const char *name;
		const struct buf *got;
	} parts[] = {{"ast", &o.ast}, {"plan", &o.plan}, {"config", &o.config}, {"warnings", &o.warnings},
		{"error", &o.error}, {"asked", &o.asked}};
	bool ok = true;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		ok = section_ok(&c, parts[i].name, parts[i].got) && ok;
	bool expects_error = case_section(&c, "error") != NULL;
	if (!only_ast && expects_error != (o.error.len > 0)) {
		fprintf(stderr, "%s: %s\n%s", path, expects_error ? "was not refused" : "failed",
			buf_cstr(&o.error));
		return false;
	}
	return ok;
}

static void test_cases(void **state)
{
	(void)state;
	case_run_folder("cases", run_case);
}

static void test_reject(void **state)
{
	(void)state;
	case_run_folder("reject", run_case);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_reject)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
