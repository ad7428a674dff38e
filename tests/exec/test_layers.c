/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_fixture.h"

#include "archive/compress.h"
#include "sys/file.h"
#include "sys/process.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char files[] =
	"d etc\nf etc/passwd = root\nf etc/shadow 600 = s\nl etc/l passwd\nd var\nf var/x 4755 = x";

static void sh(const char *dir, const char *script)
{
	struct process_request rq = {.argv = LIST("sh", "-ec", script), .dir = dir};
	OK(process_run(&rq, NULL, NULL));
}

static void test_forms(void **state)
{
	(void)state;
	struct world w;
	struct snapshot s = {0};
	struct layer a, b, c;
	bool found;
	world_open(&w);
	add_layer(&w, &s, files);
	const char *id = s.layers.ptr[0];
	OK(layer_need_diff_id(w.ex, id, NULL, &a));
	OK(layer_need_blob(w.ex, id, CODEC_GZIP, NULL, &b));
	assert_true(digest_eq(&a.diff_id, &b.diff_id));
	assert_string_equal(b.media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
	assert_true(b.blob_size > 0 && b.tar_size > 0);
	OK(layer_need_blob(w.ex, id, CODEC_ZSTD, NULL, &c));
	assert_true(digest_eq(&b.blob, &c.blob)); /* one blob a layer */

	/* From its blob alone: the same files again. */
	struct layer lazy = {.diff_id = b.diff_id, .blob = b.blob, .blob_size = b.blob_size};
	strcpy(lazy.media_type, b.media_type);
	OK(store_layer_add(w.store, &lazy));
	struct layer tree;
	OK(layer_need_tree(w.ex, lazy.id, NULL, &tree));
	struct snapshot t = {0};
	strvec_push(&t.layers, lazy.id);
	AUTO_FREE char *one = list_top(&w, &s);
	AUTO_FREE char *two = list_top(&w, &t);
	assert_string_equal(one, two);
	AUTO_STRVEC struct strvec diff = {0};
	OK(layers_compare(w.ex, id, lazy.id, 10, &diff));
	assert_int_equal(diff.len, 0);

	/* A layer whose bytes are not what its image says. */
	struct layer wrong = lazy;
	wrong.id[0] = wrong.tree[0] = '\0';
	wrong.diff_id.bytes[0] ^= 1;
	OK(store_layer_add(w.store, &wrong));
	fails(layer_need_tree(w.ex, wrong.id, NULL, &tree), ERR_CORRUPT, "its image says");
	OK(store_layer_get(w.store, wrong.id, &tree, &found));
	assert_true(found && !tree.tree[0]);
	fails(layer_need_tree(w.ex, "00000000000000000000000000000000", NULL, &tree), ERR_NOT_FOUND,
		"not in the store");
	snapshot_fini(&s);
	snapshot_fini(&t);
	world_close(&w);
}

struct caller {
	struct world *w;
	const char *id;
	struct layer got;
};

static void *need(void *arg)
{
	struct caller *c = arg;
	struct err *e = layer_need_tree(c->w->ex, c->id, NULL, &c->got);
	err_free(e);
	return NULL;
}

static void test_once(void **state)
{
	(void)state;
	struct world w;
	struct snapshot s = {0};
	struct layer b;
	world_open(&w);
	add_layer(&w, &s, files);
	OK(layer_need_blob(w.ex, s.layers.ptr[0], CODEC_GZIP, NULL, &b));
	struct layer lazy = {.diff_id = b.diff_id, .blob = b.blob, .blob_size = b.blob_size};
	OK(store_layer_add(w.store, &lazy));
	struct caller c[4];
	pthread_t t[4];
	for (int i = 0; i < 4; i++) {
		c[i] = (struct caller){.w = &w, .id = lazy.id};
		assert_int_equal(pthread_create(&t[i], NULL, need, &c[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 4; i++) {
		assert_true(c[i].got.tree[0]);
		assert_string_equal(c[i].got.tree, c[0].got.tree);
	}
	snapshot_fini(&s);
	world_close(&w);
}

static void test_compare(void **state)
{
	(void)state;
	struct world w;
	struct snapshot s = {0};
	AUTO_STRVEC struct strvec diff = {0};
	AUTO_STRVEC struct strvec few = {0};
	world_open(&w);
	add_layer(&w, &s, "d d\nf d/a = 1\nf d/b = 1\nf d/gone\nl d/l x\nl d/k x\nf d/m 644\nf d/t");
	add_layer(&w, &s, "d d\nf d/a = 2\nf d/b = 1\nf d/l\nl d/k y\nf d/m 600\nf d/new\nd d/t");
	OK(layers_compare(w.ex, s.layers.ptr[0], s.layers.ptr[1], 100, &diff));
	static const char *const expect[] = {"M d/a: content", "D d/gone", "M d/k: target", "M d/l: type",
		"M d/m: mode 0644 and 0600", "A d/new", "M d/t: type"};
	assert_int_equal(diff.len, ARRAY_LEN(expect));
	for (size_t i = 0; i < diff.len; i++)
		assert_string_equal(diff.ptr[i], expect[i]);
	OK(layers_compare(w.ex, s.layers.ptr[0], s.layers.ptr[1], 2, &few));
	assert_int_equal(few.len, 2);
	snapshot_fini(&s);
	world_close(&w);
}

static struct node *plain_node(struct world *w, enum op_kind kind, size_t inputs)
{
	struct op op = {.kind = kind};
	struct node_label label = {.name = "x"};
	struct node *n = NULL, *in[3];
	for (size_t i = 0; i < inputs; i++)
		in[i] = context_node(w, NULL);
	OK(graph_node(w->graph, &op, in, inputs, &label, &n));
	return n;
}

static void test_merge_and_diff(void **state)
{
	(void)state;
	struct world w;
	struct snapshot a = {0}, b = {0}, merged = {0}, diff = {0}, none = {0};
	world_open(&w);
	add_layer(&w, &a, "f a");
	snapshot_copy(&a, &b);
	add_layer(&w, &b, "f b");
	const struct snapshot *inputs[2] = {&a, &b};
	OK(w.ex->ops->run(w.ex, plain_node(&w, OP_MERGE, 2), inputs, &w.io, &merged));
	assert_int_equal(merged.layers.len, 2);
	OK(w.ex->ops->run(w.ex, plain_node(&w, OP_DIFF, 2), inputs, &w.io, &diff));
	assert_int_equal(diff.layers.len, 1);
	assert_string_equal(diff.layers.ptr[0], b.layers.ptr[1]);
	const struct snapshot *swapped[2] = {&b, &a};
	/* Neither made from the other: compared file by file. */
	OK(w.ex->ops->run(w.ex, plain_node(&w, OP_DIFF, 2), swapped, &w.io, &none));
	assert_int_equal(none.layers.len, 1);
	snapshot_fini(&none);
	snapshot_fini(&a);
	snapshot_fini(&b);
	snapshot_fini(&merged);
	snapshot_fini(&diff);
	world_close(&w);
}

static void test_export(void **state)
{
	(void)state;
	struct world w;
	struct snapshot s = {0}, out = {0};
	world_open(&w);
	add_layer(&w, &s, files);
	struct file_action a[] = {{.kind = FILE_REMOVE, .dest = "/var/x"},
		{.kind = FILE_MKFILE, .dest = "/new", .data = STR("n")}};
	struct op_file op = {.actions = a, .action_count = 2};
	OK(run_file(&w, &op, &s, NULL, &out));
	AUTO_FREE char *dir = mem_printf("%s/export", w.dir);
	OK(snapshot_export_dir(w.ex, &out, dir, NULL));
	AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *got = list_files(fd);
	assert_string_equal(got, "d 755 0:0 etc @1600000000\nl 0 0:0 etc/l -> passwd @1600000000\nf 644 0:0 "
				 "etc/passwd = root @1600000000\n"
				 "f 600 0:0 etc/shadow = s @1600000000\nf 644 0:0 new = n\nd 755 0:0 var");
	AUTO_FREE char *tar = mem_printf("%s/export.tar", w.dir);
	AUTO_FD int out_fd = open(tar, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	OK(snapshot_export_tar(w.ex, &out, out_fd, NULL));
	AUTO_BUF struct buf listing = {0};
	struct process_request rq = {.argv = LIST("tar", "-tf", tar)};
	OK(process_run(&rq, &listing, NULL));
	assert_string_equal(buf_cstr(&listing), "etc/\netc/l\netc/passwd\netc/shadow\nnew\nvar/\n");
	snapshot_fini(&s);
	snapshot_fini(&out);
	world_close(&w);
}

static void unpack_case(struct world *w, const char *source, const char *owner, const char *expect)
{
	struct snapshot out = {0};
	const char *const sources[] = {source, NULL};
	struct file_action a = {.kind = FILE_COPY,
		.input = 1,
		.sources = sources,
		.dest = "/opt",
		.dest_is_dir = true,
		.unpack = true,
		.follow_links = true,
		.owner = owner,
		.keep_owner = !owner};
	struct op_file op = {.actions = &a, .action_count = 1};
	world_executor(w);
	OK(run_file(w, &op, NULL, NULL, &out));
	AUTO_FREE char *got = list_top(w, &out);
	assert_string_equal(got, expect);
	snapshot_fini(&out);
}

static void test_unpack(void **state)
{
	(void)state;
	struct world w;
	world_open(&w);
	sh(w.context,
		"mkdir t; cd t; mkdir d; printf x > d/f; chmod 600 d/f; ln -s f d/l; "
		"tar --mtime=@1500000000 --owner=3 --group=4 --sort=name -cf ../a.dat d; cd ..; "
		"gzip -k a.dat; xz -k a.dat; printf 'not a tar' > plain; printf z > z; gzip z; : > empty");
	static const char all[] =
		"d 755 0:0 opt\nd 755 3:4 opt/d @1500000000\nf 600 3:4 opt/d/f = x @1500000000\n"
		"l 0 3:4 opt/d/l -> f @1500000000";
	unpack_case(&w, "a.dat", NULL, all);
	unpack_case(&w, "a.dat.gz", NULL, all);
	unpack_case(&w, "a.dat.xz", NULL, all);
	unpack_case(&w, "a.dat", "7:8",
		"d 755 7:8 opt\nd 755 7:8 opt/d @1500000000\nf 600 7:8 opt/d/f = x @1500000000\nl 0 7:8 "
		"opt/d/l -> f @1500000000");
	unpack_case(&w, "plain", "0:0", "d 755 0:0 opt\nf 644 0:0 opt/plain = not a tar");
	unpack_case(&w, "empty", "0:0", "d 755 0:0 opt\nf 644 0:0 opt/empty");
	sh(w.context, "mkdir e; cd e; ln -s /etc out; tar cf ../evil.tar out; rm out; mkdir out; printf x > "
		      "out/passwd; tar rf ../evil.tar out/passwd");
	struct snapshot out = {0};
	struct file_action a = {.kind = FILE_COPY,
		.input = 1,
		.sources = LIST("evil.tar"),
		.dest = "/opt",
		.dest_is_dir = true,
		.unpack = true};
	struct op_file op = {.actions = &a, .action_count = 1};
	world_executor(&w);
	struct err *e = run_file(&w, &op, NULL, NULL, &out);
	err_free(e);
	snapshot_fini(&out);
	sh("/", "! grep -qx x /etc/passwd");
	world_close(&w);
}

int main(void)
{
	if (!world_enter())
		return 77;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_merge_and_diff),
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_unpack),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
