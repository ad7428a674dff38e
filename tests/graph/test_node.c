/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "graph/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *const argv_true[] = {"/bin/true", NULL};
static const char *const argv_false[] = {"/bin/false", NULL};

static struct op exec_op(const char *const *argv)
{
	return (struct op){.kind = OP_EXEC, .exec = {.argv = argv, .cwd = "/"}};
}

static struct op image_op(const char *ref)
{
	return (struct op){.kind = OP_IMAGE, .image = {.ref = ref, .platform = "linux/amd64"}};
}

static struct node *make(struct graph *g, struct op op, struct node *input, const struct node_label *label)
{
	struct node *out = NULL;
	struct err *e = graph_node(g, &op, &input, op_is_source(op.kind) ? 0 : 1, label, &out);

	assert_null(e);
	return out;
}

static void equal_nodes_are_one(void **state)
{
	AUTO(graph_freep) struct graph *g = graph_new();
	struct node *base = make(g, image_op("debian:12"), NULL, NULL);
	const struct node_label first = {.name = "first", .where = {"Dockerfile", 3, 3}};
	const struct node_label second = {.name = "second", .where = {"Other", 9, 9}};

	(void)state;
	struct node *a = make(g, exec_op(argv_true), base, &first);
	struct node *b = make(g, exec_op(argv_true), base, &second);
	assert_ptr_equal(a, b);
	assert_string_equal(node_label(b)->name, "first");
	assert_ptr_not_equal(a, make(g, exec_op(argv_false), base, NULL));
	assert_ptr_not_equal(a, make(g, exec_op(argv_true), NULL, NULL));
}

static void ignoring_the_cache_is_another_node_with_the_same_digest(void **state)
{
	AUTO(graph_freep) struct graph *g = graph_new();
	const struct node_label ignore = {.ignore_cache = true};

	(void)state;
	struct node *a = make(g, exec_op(argv_true), NULL, NULL);
	struct node *b = make(g, exec_op(argv_true), NULL, &ignore);
	assert_ptr_not_equal(a, b);
	assert_true(digest_eq(node_digest(a), node_digest(b)));
}

static void digest_is_of_what_is_asked_only(void **state)
{
	AUTO(graph_freep) struct graph *g1 = graph_new();
	AUTO(graph_freep) struct graph *g2 = graph_new();
	struct op always = image_op("debian:12");
	static const char *const proxy[] = {"http_proxy=http://p:1", NULL};
	struct op proxied = exec_op(argv_true);

	(void)state;
	always.image.pull = PULL_ALWAYS;
	proxied.exec.proxy_env = proxy;
	struct node *a = make(g1, exec_op(argv_true), make(g1, image_op("debian:12"), NULL, NULL), NULL);
	make(g2, exec_op(argv_false), NULL, NULL);
	struct node *b = make(g2, proxied, make(g2, always, NULL, NULL), NULL);
	assert_true(digest_eq(node_digest(a), node_digest(b)));
	assert_true(digest_eq(node_op_digest(a), node_op_digest(b)));
	struct node *c = make(g2, exec_op(argv_true), make(g2, image_op("debian:13"), NULL, NULL), NULL);
	assert_false(digest_eq(node_digest(a), node_digest(c)));
	assert_true(digest_eq(node_op_digest(a), node_op_digest(c)));
}

/* Caches on disk and in registries outlive a version of cooper: the form may only change on purpose. */
static void canonical_form_is_pinned(void **state)
{
	static const char *const env[] = {"A=1", "B=\"q\"", NULL};
	const struct exec_mount cache = {.kind = MOUNT_CACHE,
		.target = "/c",
		.input = INPUT_NONE,
		.cache_id = "c",
		.writable = true,
		.mode = 0755};
	struct op op = exec_op(argv_true);

	(void)state;
	op.exec.env = env;
	op.exec.mounts = &cache;
	op.exec.mount_count = 1;
	AUTO_FREE char *text = op_json(&op);
	assert_string_equal(text, "{\"form\":1,\"op\":\"exec\",\"value\":{\"argv\":[\"/bin/"
				  "true\"],\"cwd\":\"/\",\"env\":[\"A=1\",\"B=\\\"q\\\"\"],"
				  "\"mounts\":[{\"cacheId\":\"c\",\"kind\":2,\"mode\":493,\"target\":\"/"
				  "c\",\"writable\":true}]}}");
}

static void file_data_that_json_cannot_hold_still_counts(void **state)
{
	AUTO(graph_freep) struct graph *g = graph_new();
	const struct file_action a = {.kind = FILE_MKFILE, .dest = "/x", .data = STR("\xff")};
	const struct file_action b = {.kind = FILE_MKFILE, .dest = "/x", .data = STR("\xfe")};

	(void)state;
	struct node *na = make(g, (struct op){.kind = OP_FILE, .file = {&a, 1, false}}, NULL, NULL);
	struct node *nb = make(g, (struct op){.kind = OP_FILE, .file = {&b, 1, false}}, NULL, NULL);
	assert_false(digest_eq(node_digest(na), node_digest(nb)));
}

static void nothing_passed_in_is_borrowed(void **state)
{
	AUTO(graph_freep) struct graph *g = graph_new();
	char program[] = "/bin/true", cwd[] = "/work";
	const char *argv[] = {program, NULL};
	struct op op = {.kind = OP_EXEC, .exec = {.argv = argv, .cwd = cwd}};

	(void)state;
	struct node *n = make(g, op, NULL, NULL);
	memset(program, 'x', strlen(program));
	memset(cwd, 'x', strlen(cwd));
	argv[0] = NULL;
	assert_string_equal(node_op(n)->exec.argv[0], "/bin/true");
	assert_string_equal(node_op(n)->exec.cwd, "/work");
}

static void expect_refused(struct op op, size_t inputs, const char *message)
{
	AUTO(graph_freep) struct graph *g = graph_new();
	struct node *none[2] = {NULL, NULL}, *out = NULL;
	struct err *e = graph_node(g, &op, none, inputs, NULL, &out);

	assert_non_null(e);
	AUTO_FREE char *text = err_text(e);
	assert_non_null(strstr(text, message));
	assert_null(out);
	err_free(e);
}

static void rules_are_kept(void **state)
{
	static const char *const none[] = {NULL};
	static const char *const src[] = {"a", NULL};
	struct op op = exec_op(argv_true);
	struct exec_mount m = {.kind = MOUNT_BIND, .target = "/m", .input = 4};

	(void)state;
	op.exec.cwd = "work";
	expect_refused(op, 1, "not an absolute path");
	op.exec.cwd = "/a/../b";
	expect_refused(op, 1, "\"..\"");
	op = exec_op(none);
	expect_refused(op, 1, "no program");
	op = exec_op(argv_true);
	expect_refused(op, 0, "input 0");
	op.exec.mounts = &m;
	op.exec.mount_count = 1;
	expect_refused(op, 1, "names input 4");
	m.input = INPUT_NONE;
	m.target = "/";
	expect_refused(op, 1, "root directory");
	const struct file_action bad = {.kind = FILE_COPY, .dest = "/x", .sources = src, .input = 7};
	expect_refused((struct op){.kind = OP_FILE, .file = {&bad, 1, false}}, 1, "names input 7");
	expect_refused((struct op){.kind = OP_IMAGE}, 0, "needs a reference");
	expect_refused(image_op("debian"), 1, "no inputs");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_nodes_are_one),
		cmocka_unit_test(ignoring_the_cache_is_another_node_with_the_same_digest),
		cmocka_unit_test(digest_is_of_what_is_asked_only),
		cmocka_unit_test(canonical_form_is_pinned),
		cmocka_unit_test(file_data_that_json_cannot_hold_still_counts),
		cmocka_unit_test(nothing_passed_in_is_borrowed),
		cmocka_unit_test(rules_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
