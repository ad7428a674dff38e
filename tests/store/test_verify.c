/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void overwrite(const char *home, const struct digest *d, const char *bytes)
{
	AUTO_FREE char *path = blob_file(home, d);
	assert_ok(file_replace(AT_FDCWD, path, bytes, strlen(bytes), 0644, false));
}

static void assert_repaired(struct store *s)
{
	AUTO_BUF struct buf text = {0};
	if (verify_problems(s, false, &text) != 0) {
		print_error("%s", buf_cstr(&text));
		fail();
	}
}

static void sound_store(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct digest d = put_text(s, "x");
	put_blob_record(s, "tag", "x", &d);
	make_layer(s, "layer");
	struct store_verify_result r;
	assert_ok(store_verify(s, false, NULL, NULL, NULL, &r));
	assert_int_equal(r.problems, 0);
	assert_int_equal(r.blobs, 1);
	assert_int_equal(r.blob_bytes, 1);
	assert_int_equal(r.trees, 1);
	assert_int_equal(r.layers, 1);
	assert_int_equal(r.records, 1);
}

/* A corrupt layer blob: all that is not whole without it is forgotten, what has another form is kept. */
static void corrupt_layer(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct digest index = put_text(s, "index"), manifest = put_text(s, "manifest"),
		      layer = put_text(s, "layer"), config = put_text(s, "config");
	assert_ok(store_blob_link(s, &index, &manifest));
	assert_ok(store_blob_link(s, &manifest, &layer));
	assert_ok(store_blob_link(s, &manifest, &config));
	put_blob_record(s, "tag", "app:v1", &index);
	put_record(s, "source", "pin", "", &(struct store_ref){STORE_REF_RECORD, "tag/app:v1"});
	put_blob_record(s, "tag", "config", &config);
	struct layer both = make_layer(s, "both"),
		     packed = {.blob = layer, .blob_size = 5, .media_type = "t"}, got;
	memcpy(packed.id, both.id, sizeof(both.id));
	assert_ok(store_layer_update(s, &packed));
	struct layer alone = {.blob = layer, .blob_size = 5, .media_type = "t"};
	assert_ok(store_layer_add(s, &alone));
	put_record(s, "cache", "both", "", &(struct store_ref){STORE_REF_LAYER, both.id});
	put_record(s, "cache", "alone", "", &(struct store_ref){STORE_REF_LAYER, alone.id});

	overwrite(*state, &layer, "lAyer");
	AUTO_BUF struct buf text = {0};
	assert_int_equal(verify_problems(s, false, &text), 1);
	assert_non_null(strstr(buf_cstr(&text), "its bytes are sha256:"));
	struct store_verify_result r;
	assert_ok(store_verify(s, true, NULL, NULL, NULL, &r));
	assert_int_equal(r.problems, 1);
	assert_int_equal(r.repaired, 1);
	assert_false(has_blob(s, &layer) || has_blob(s, &manifest) || has_blob(s, &index));
	assert_true(has_blob(s, &config));
	assert_false(has_record(s, "tag", "app:v1") || has_record(s, "source", "pin") ||
		     has_record(s, "cache", "alone"));
	assert_true(has_record(s, "tag", "config") && has_record(s, "cache", "both"));
	bool found = false;
	assert_ok(store_layer_get(s, both.id, &got, &found));
	assert_true(found);
	assert_false(digest_is_set(&got.blob));
	assert_string_equal(got.media_type, "");
	assert_string_equal(got.tree, both.tree);
	assert_ok(store_layer_get(s, alone.id, &got, &found));
	assert_false(found);
	assert_int_equal(count_names(*state, "quarantine"), 1);
	assert_repaired(s);
	/* And it can be put again. */
	struct digest again = put_text(s, "layer");
	assert_true(digest_eq(&again, &layer) && has_blob(s, &layer));
	assert_repaired(s);
}

static void missing_parts(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct digest d = put_text(s, "gone"), e = put_text(s, "row gone");
	put_blob_record(s, "tag", "x", &d);
	put_blob_record(s, "tag", "y", &e);
	struct layer l = make_layer(s, "tree gone");
	put_record(s, "cache", "l", "", &(struct store_ref){STORE_REF_LAYER, l.id});
	AUTO_FREE char *file = blob_file(*state, &d), *dir = store_tree_dir(s, l.tree);
	assert_int_equal(unlink(file), 0);
	assert_ok(tree_remove(AT_FDCWD, dir));
	assert_ok(store_db_exec(s, "DELETE FROM blobs WHERE size = 8"));
	AUTO_BUF struct buf text = {0};
	assert_int_equal(verify_problems(s, false, &text), 3);
	assert_non_null(strstr(buf_cstr(&text), "its file is missing"));
	assert_non_null(strstr(buf_cstr(&text), "directory is missing"));
	assert_non_null(strstr(buf_cstr(&text), "record tag/y needs blob sha256:"));
	assert_int_equal(verify_problems(s, true, NULL), 3);
	assert_repaired(s);
	assert_false(has_record(s, "tag", "x") || has_record(s, "tag", "y"));
	struct layer got;
	bool found = false;
	assert_ok(store_layer_get(s, l.id, &got, &found));
	assert_true(found && !got.tree[0]);
}

static void dangling_rows(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct digest m = put_text(s, "m"), b = put_text(s, "bb");
	assert_ok(store_blob_link(s, &m, &b));
	struct layer l = {.blob = b, .blob_size = 2};
	assert_ok(store_layer_add(s, &l));
	put_record(s, "cache", "a", "", &(struct store_ref){STORE_REF_LAYER, l.id});
	put_record(s, "cache", "b", "", &(struct store_ref){STORE_REF_RECORD, "cache/a"});
	assert_ok(store_db_exec(s, "DELETE FROM blobs WHERE size = 2; DELETE FROM records WHERE key = 'a'"));
	AUTO_BUF struct buf text = {0};
	assert_int_equal(verify_problems(s, false, &text), 2);
	assert_true(verify_problems(s, true, NULL) >= 2);
	assert_repaired(s);
	assert_false(has_blob(s, &m) || has_record(s, "cache", "b"));
}

/* A process that is at its limit of descriptors knows nothing about the bytes: nothing is set aside. */
static void out_of_descriptors(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct digest d = put_text(s, "x"), after = {0};
	struct rlimit before, none;
	struct store_verify_result r = {0};
	struct store_scrub_options opt = {.bytes = 1 << 20};
	bool end = false;
	put_blob_record(s, "tag", "x", &d);
	assert_repaired(s);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	struct err *scrubbed = store_scrub(s, &opt, &after, &r, &end);
	struct err *verified = store_verify(s, true, NULL, NULL, NULL, &r);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_err(scrubbed, ERR_IO);
	assert_err(verified, ERR_IO);
	assert_int_equal(r.problems, 0);
	assert_true(has_record(s, "tag", "x") && has_blob(s, &d));
	assert_ok(store_scrub(s, &opt, &after, &r, &end));
	assert_int_equal(r.blobs, 1);
}

static void damaged_database(void **state)
{
	store_close(open_store(*state));
	AUTO_FREE char *db = mem_printf("%s/cooper.db", (char *)*state);
	assert_ok(file_replace(AT_FDCWD, db, "this is no database, whatever its name says", 43, 0644, false));
	struct store *s = NULL;
	assert_err(store_open(*state, NULL, &s), ERR_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sound_store, make_home, drop_home),
		cmocka_unit_test_setup_teardown(corrupt_layer, make_home, drop_home),
		cmocka_unit_test_setup_teardown(missing_parts, make_home, drop_home),
		cmocka_unit_test_setup_teardown(dangling_rows, make_home, drop_home),
		cmocka_unit_test_setup_teardown(out_of_descriptors, make_home, drop_home),
		cmocka_unit_test_setup_teardown(damaged_database, make_home, drop_home),
	};
	return cmocka_run_group_tests_name("store verify", tests, NULL, NULL);
}
