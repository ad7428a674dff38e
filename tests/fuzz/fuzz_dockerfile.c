/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Dockerfile, parsed, dumped and lowered. After a line "%%" the rest is what the host answers for an
 * image's config, and after a second one the ignore file.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "dockerfile/ast.h"
#include "dockerfile/frontend.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char plain[] = "{\"config\":{\"Env\":[\"A=b\"],\"OnBuild\":[\"COPY a /b\",\"RUN "
			    "<<E\\n$A\\nE\"]},\"rootfs\":{\"diff_ids\":[\"x\"]}}";

static struct err *image_config(void *ctx, const char *ref, const char *platform, enum pull_policy pull,
	struct buf *config, char **pinned)
{
	const struct str *given = ctx;
	(void)ref;
	(void)platform;
	(void)pull;
	(void)pinned;
	if (given->len)
		buf_addstr(config, *given);
	else
		buf_adds(config, plain);
	return NULL;
}

static struct str cut(struct str *rest)
{
	static const char mark[] = "\n%%\n";
	struct str all = *rest;
	const char *at = all.len ? memmem(all.ptr, all.len, mark, sizeof(mark) - 1) : NULL;
	if (!at) {
		*rest = (struct str){0};
		return all;
	}
	size_t head = (size_t)(at - all.ptr) + 1;
	*rest = str_skip(all, head + sizeof(mark) - 2);
	return str_n(all.ptr, head);
}

static void dump(struct str text)
{
	struct arena *a = arena_new();
	struct diag d = {.path = "Dockerfile"};
	struct ast ast;
	struct buf out = {0};
	ast_parse(a, &d, text, &ast);
	ast_dump(&ast, &out);
	buf_fini(&out);
	diag_fini(&d);
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const build_args[] = {"ARG1=one", "HTTP_PROXY=p", "EMPTY=", NULL};
	static const struct named_context contexts[] = {
		{.name = "files", .local = "files"}, {.name = "repo", .url = "https://example.org/r.git"}};
	struct str rest = str_n((const char *)data, size);
	struct str text = cut(&rest), config = cut(&rest);
	struct dockerfile_host host = {.ctx = &config, .image_config = image_config};
	struct dockerfile_request rq = {
		.path = "Dockerfile",
		.text = text,
		.ignore_text = rest,
		.build_args = build_args,
		.contexts = contexts,
		.context_count = 2,
		.platform = "linux/arm/v7",
		.host = &host,
	};
	dump(text);
	struct graph *g = graph_new();
	struct dockerfile_build b = {0};
	struct err *why = dockerfile_lower(&rq, g, &b);
	err_free(why);
	dockerfile_build_fini(&b);
	graph_free(g);
	struct buf out = {0};
	dockerfile_excerpt(text, (struct source_range){"Dockerfile", 2, 3}, &out);
	buf_fini(&out);
	return 0;
}
