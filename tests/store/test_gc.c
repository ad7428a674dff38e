/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/clock.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DAY (INT64_C(86400) * CLOCK_SECOND)

struct kept {
	struct digest manifest, config, layer, loose, cached;
	struct layer used, unused;
};

/* A tag keeps a manifest, which keeps a config and a layer; a cache record keeps an unpacked layer. */
static struct kept fill(const char *home)
{
	struct store *s AUTO(store_closep) = open_store(home);
	struct kept k;
	k.manifest = put_text(s, "manifest");
	k.config = put_text(s, "config");
	k.layer = put_text(s, "layer");
	k.loose = put_text(s, "loose");
	k.cached = put_text(s, "cached");
	assert_ok(store_blob_link(s, &k.manifest, &k.config));
	assert_ok(store_blob_link(s, &k.manifest, &k.layer));
	struct digest absent;
	digest_of("absent", 6, &absent);
	assert_ok(store_blob_link(s, &k.manifest, &absent));
	put_blob_record(s, "tag", "app:v1", &k.manifest);
	k.used = make_layer(s, "used");
	k.unused = make_layer(s, "unused");
	struct layer blob = {.blob = k.cached, .blob_size = 6, .media_type = "t"};
	memcpy(blob.id, k.used.id, sizeof(blob.id));
	assert_ok(store_layer_update(s, &blob));
	struct store_ref ref = {STORE_REF_LAYER, k.used.id};
	put_record(s, "cache", "sha256:def", "result", &ref);
	return k;
}

static bool has_layer(struct store *s, const char *id)
{
	struct layer l;
	bool found = false;
	assert_ok(store_layer_get(s, id, &l, &found));
	return found;
}

static void roots_stay(void **state)
{
	struct kept k = fill(*state);
	struct store *s AUTO(store_closep) = open_store(*state);
	struct store_gc_options dry = {.all = true, .dry_run = true};
	struct store_gc_result would, did;
	assert_ok(store_gc(s, &dry, NULL, &would));
	did = gc_all(s);
	assert_memory_equal(&would, &did, sizeof(did));
	assert_int_equal(did.blobs, 2);
	assert_int_equal(did.records, 1);
	assert_int_equal(did.layers, 2);
	assert_int_equal(did.trees, 2);
	assert_int_equal(did.bytes, 5 + 6 + 2 * 4096);
	assert_true(has_blob(s, &k.manifest) && has_blob(s, &k.config) && has_blob(s, &k.layer));
	assert_false(has_blob(s, &k.loose));
	AUTO_FREE char *loose = blob_file(*state, &k.loose);
	assert_int_equal(access(loose, F_OK), -1);
	assert_false(has_record(s, "cache", "sha256:def"));
	assert_false(has_layer(s, k.used.id));
	assert_int_equal(count_names(*state, "trees"), 0);
	assert_int_equal(verify_problems(s, false, NULL), 0);
	bool deleted;
	assert_ok(store_record_delete(s, "tag", "app:v1", &deleted));
	/* Asked for a moment ago: held until this process is done with the store. */
	assert_int_equal(gc_all(s).blobs, 0);
	store_close(steal(&s));
	s = open_store(*state);
	assert_int_equal(gc_all(s).blobs, 3);
	did = gc_all(s);
	assert_int_equal(did.blobs + did.layers + did.records + did.trees + did.bytes, 0);
}

static void defaults_keep_the_cache(void **state)
{
	struct kept k = fill(*state);
	struct store *s AUTO(store_closep) = open_store(*state);
	struct store_gc_result r;
	assert_ok(store_gc(s, NULL, NULL, &r));
	assert_int_equal(r.blobs, 1); /* the loose one */
	assert_int_equal(r.records, 0);
	assert_true(has_layer(s, k.used.id));
	assert_true(has_layer(s, k.unused.id));
	assert_true(has_blob(s, &k.cached));
}

static void leases_of_others_stay(void **state)
{
	struct kept k = fill(*state);
	struct store *other = open_store(*state);
	assert_true(has_blob(other, &k.loose));
	assert_true(has_layer(other, k.used.id));
	struct digest fresh = put_text(other, "fresh");
	struct store *s AUTO(store_closep) = open_store(*state);
	struct store_gc_result r = gc_all(s);
	assert_int_equal(r.blobs, 0);
	assert_int_equal(r.layers, 1);
	assert_true(has_blob(other, &k.loose));
	assert_true(has_blob(other, &k.cached));
	AUTO_FREE char *dir = store_tree_dir(s, k.used.tree);
	assert_int_equal(access(dir, F_OK), 0);
	store_close(other);
	r = gc_all(s);
	assert_int_equal(r.blobs, 3);
	assert_int_equal(r.layers, 1);
	assert_false(has_blob(s, &fresh));
}

static void trimmed_lease(void **state)
{
	struct kept k = fill(*state);
	struct store *server AUTO(store_closep) = open_store(*state);
	struct store *s AUTO(store_closep) = open_store(*state);
	assert_true(has_blob(server, &k.loose));
	assert_ok(store_lease_trim(server, clock_now() - CLOCK_SECOND));
	assert_int_equal(gc_all(s).blobs, 1); /* cached, not loose */
	assert_true(has_blob(server, &k.loose));
	assert_ok(store_lease_trim(server, clock_now() + CLOCK_SECOND));
	assert_int_equal(gc_all(s).blobs, 1);
	assert_false(has_blob(server, &k.loose));
	/* The fresh lease file is locked like the first one. */
	struct digest d = put_text(server, "later");
	assert_int_equal(gc_all(s).blobs, 0);
	assert_true(has_blob(server, &d));
}

/* What a reader sees between the two steps of a gc. */
static void doomed_is_rescued(void **state)
{
	struct kept k = fill(*state);
	struct store *s AUTO(store_closep) = open_store(*state);
	assert_ok(store_db_exec(s, "UPDATE blobs SET doomed = 1; UPDATE layers SET doomed = 1"));
	assert_true(has_blob(s, &k.manifest));
	struct blob_row row;
	assert_ok(store_blob_row(s, &k.layer, &row));
	assert_false(row.doomed); /* with its manifest */
	assert_ok(store_blob_row(s, &k.loose, &row));
	assert_true(row.doomed);
	assert_true(has_layer(s, k.used.id));
	assert_ok(store_blob_row(s, &k.cached, &row));
	assert_false(row.doomed);
	/* A new reference rescues too. */
	put_blob_record(s, "tag", "loose", &k.loose);
	assert_ok(store_blob_row(s, &k.loose, &row));
	assert_false(row.doomed);
	assert_int_equal(verify_problems(s, false, NULL), 0);
}

/* A reader that looked just before the first step has its hold seen by the second. */
static void held_between_the_steps(void **state)
{
	struct kept k = fill(*state);
	struct store *reader AUTO(store_closep) = open_store(*state);
	struct store *s AUTO(store_closep) = open_store(*state);
	struct store_gc_options all = {.all = true};
	struct gc_plan plan = gc_plan_of(&all);
	struct store_gc_result r = {0};
	char line[LEASE_LINE_MAX];
	bool deleted;
	assert_ok(store_record_delete(s, "tag", "app:v1", &deleted));
	assert_ok(gc_doom(s, &plan, &r));
	struct blob_row row;
	assert_ok(store_blob_row(s, &k.layer, &row));
	assert_true(row.found && row.doomed);
	assert_ok(store_hold(reader, lease_blob(&k.manifest, line)));
	assert_ok(store_hold(reader, lease_line('l', k.used.id, line)));
	assert_ok(gc_remove(s, NULL, &r));
	assert_int_equal(r.blobs, 1); /* loose */
	assert_int_equal(r.layers, 1);
	assert_true(
		has_blob(reader, &k.manifest) && has_blob(reader, &k.layer) && has_blob(reader, &k.config));
	assert_true(has_layer(reader, k.used.id));
	assert_int_equal(verify_problems(s, false, NULL), 0);
}

/* On a full disk a lease cannot grow: then its owner holds everything. */
static void holding_everything(void **state)
{
	struct kept k = fill(*state);
	struct store *reader = open_store(*state);
	struct store *s AUTO(store_closep) = open_store(*state);
	assert_true(has_blob(reader, &k.config));
	assert_int_equal(fchmod(reader->lease_fd, 0700), 0);
	assert_int_equal(gc_all(s).blobs, 0);
	struct store_gc_options all = {.all = true};
	struct gc_plan plan = gc_plan_of(&all);
	struct store_gc_result r = {0};
	assert_int_equal(fchmod(reader->lease_fd, 0600), 0);
	assert_ok(gc_doom(s, &plan, &r));
	assert_int_equal(fchmod(reader->lease_fd, 0700), 0);
	assert_ok(gc_remove(s, NULL, &r));
	assert_int_equal(r.blobs + r.layers, 0);
	struct blob_row row;
	assert_ok(store_blob_row(s, &k.loose, &row));
	assert_true(row.found && !row.doomed);
	/* Its own lease says it more exactly to itself. */
	assert_true(gc_all(reader).blobs > 0);
	assert_ok(store_blob_row(s, &k.loose, &row));
	assert_false(row.found);
	store_close(reader);
}

/* A gc was killed after it had taken a part away: the whole is gone, never a manifest without its layer. */
static void half_removed(void **state)
{
	struct kept k = fill(*state);
	struct store *s AUTO(store_closep) = open_store(*state);
	bool deleted;
	assert_ok(store_record_delete(s, "tag", "app:v1", &deleted));
	assert_ok(store_db_exec(s, "UPDATE blobs SET doomed = 1"));
	AUTO_FREE char *gone = blob_file(*state, &k.layer), *manifest = blob_file(*state, &k.manifest);
	assert_int_equal(unlink(gone), 0);
	assert_int_equal(verify_problems(s, false, NULL), 0);
	assert_false(has_blob(s, &k.manifest));
	assert_int_equal(access(manifest, F_OK), -1);
	assert_true(has_blob(s, &k.config));
	assert_ok(store_sweep(s));
	assert_false(has_blob(s, &k.layer));
	assert_int_equal(verify_problems(s, false, NULL), 0);
}

/* Layers of images that are pulled lazily name blobs that are not here. */
static void lazy_layers(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct layer l = {.blob_size = 4, .media_type = "t"}, got;
	digest_of("lazy", 4, &l.blob);
	digest_of("lazy tar", 8, &l.diff_id);
	assert_ok(store_layer_add(s, &l));
	assert_ok(store_db_exec(s, "UPDATE layers SET doomed = 1"));
	bool found = false;
	assert_ok(store_layer_get(s, l.id, &got, &found));
	assert_true(found && digest_eq(&got.blob, &l.blob));
	assert_ok(store_layer_add(s, &l)); /* the same, by another process */
	assert_int_equal(verify_problems(s, false, NULL), 0);
	struct digest d = put_text(s, "lazy");
	assert_true(digest_eq(&d, &l.blob));
	store_close(steal(&s));
	s = open_store(*state);
	assert_true(has_layer(s, l.id));
	struct store_gc_result r = gc_all(s);
	assert_int_equal(r.blobs + r.layers, 0);
	assert_true(has_blob(s, &l.blob));
}

enum { THREADS = 4, TURNS = 30 };

struct turn {
	struct store *s;
	int number;
};

static void *work(void *ctx)
{
	const struct turn *t = ctx;
	for (int i = 0; i < TURNS; i++) {
		char text[40], key[20];
		snprintf(text, sizeof(text), "text %d", i % 7 + t->number * (i % 3));
		snprintf(key, sizeof(key), "k%d", i % 5);
		struct digest d = put_text(t->s, text), e = put_text(t->s, "shared");
		assert_ok(store_blob_link(t->s, &d, &e));
		put_blob_record(t->s, i % 2 ? "tag" : "cache", key, &d);
		struct layer l = make_layer(t->s, text);
		assert_true(has_layer(t->s, l.id) && has_blob(t->s, &d) && has_blob(t->s, &e));
		if (t->number == 0)
			gc_all(t->s);
	}
	return NULL;
}

static void threads(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	pthread_t thread[THREADS];
	struct turn turns[THREADS];
	for (int i = 0; i < THREADS; i++) {
		turns[i] = (struct turn){s, i};
		assert_int_equal(pthread_create(&thread[i], NULL, work, &turns[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(verify_problems(s, false, NULL), 0);
}

static void put_used(struct store *s, const char *key, const char *text, int64_t days_ago)
{
	struct digest d = put_text(s, text);
	put_blob_record(s, "cache", key, &d);
	AUTO_FREE char *sql = mem_printf("UPDATE records SET used = %lld WHERE key = '%s'",
		(long long)(clock_now() - days_ago * DAY), key);
	assert_ok(store_db_exec(s, sql));
}

static void cache_limits(void **state)
{
	{
		struct store *s AUTO(store_closep) = open_store(*state);
		put_used(s, "a", "aaaaaaaaaa", 1);
		put_used(s, "b", "bbbbbbbbbb", 2);
		put_used(s, "c", "cccccccccc", 3);
		put_used(s, "d", "dddddddddd", 30);
	}
	struct store *s AUTO(store_closep) = open_store(*state);
	struct store_gc_result r;
	assert_ok(store_gc(s, NULL, NULL, &r));
	assert_int_equal(r.records, 1); /* older than 14 days */
	struct store_gc_options few = {.keep_count = 2};
	assert_ok(store_gc(s, &few, NULL, &r));
	assert_int_equal(r.records, 1);
	/* A record's value counts too: the digest's 71 bytes. */
	struct store_gc_options small = {.keep_bytes = 100};
	assert_ok(store_gc(s, &small, NULL, &r));
	assert_int_equal(r.records, 1);
	assert_int_equal(r.blobs, 1);
	struct store_gc_options young = {.keep_for = CLOCK_SECOND};
	assert_ok(store_gc(s, &young, NULL, &r));
	assert_int_equal(r.records, 1);
	assert_false(has_record(s, "cache", "a"));
	assert_int_equal(verify_problems(s, false, NULL), 0);
}

/* Records that records keep, roots included. */
static void record_references(void **state)
{
	{
		struct store *s AUTO(store_closep) = open_store(*state);
		struct digest d = put_text(s, "deep");
		put_blob_record(s, "op", "with/slash", &d);
		struct store_ref ref = {STORE_REF_RECORD, "op/with/slash"};
		put_record(s, "cache", "middle", "", &ref);
		ref = (struct store_ref){STORE_REF_RECORD, "cache/middle"};
		put_record(s, "source", "root", "", &ref);
		put_record(s, "cache", "self", "", &(struct store_ref){STORE_REF_RECORD, "cache/self"});
	}
	struct store *s AUTO(store_closep) = open_store(*state);
	struct store_gc_result r = gc_all(s);
	assert_int_equal(r.records, 1);
	assert_int_equal(r.blobs, 0);
	assert_true(has_record(s, "op", "with/slash"));
	bool deleted;
	assert_ok(store_record_delete(s, "source", "root", &deleted));
	r = gc_all(s);
	assert_int_equal(r.records, 2);
	assert_int_equal(r.blobs, 1);
	assert_int_equal(verify_problems(s, false, NULL), 0);
}

static void make_volume(const char *home, const char *id, int64_t days_ago)
{
	AUTO_FREE char *dir = mem_printf("%s/volumes/%s", home, id), *stamp = mem_printf("%s.used", dir),
		       *file = mem_printf("%s/data", dir);
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_ok(file_replace(AT_FDCWD, file, "data", 4, 0644, false));
	assert_ok(file_replace(AT_FDCWD, stamp, "", 0, 0644, false));
	struct timespec t = timespec_of_ns(clock_now() - days_ago * DAY);
	struct timespec times[2] = {t, t};
	assert_int_equal(utimensat(AT_FDCWD, stamp, times, 0), 0);
}

static void volumes(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	make_volume(*state, "new", 1);
	make_volume(*state, "old", 20);
	make_volume(*state, "busy", 20);
	struct store_lock *lock = NULL;
	assert_ok(store_lock(s, "volume:busy", true, NULL, NULL, &lock));
	struct store_usage u;
	assert_ok(store_usage(s, &u));
	assert_int_equal(u.volume_count, 3);
	struct store_gc_result r;
	assert_ok(store_gc(s, NULL, NULL, &r));
	assert_int_equal(r.volumes, 1);
	assert_true(r.bytes >= 4);
	assert_true(exists(*state, "volumes/new/data"));
	assert_false(exists(*state, "volumes/old"));
	assert_false(exists(*state, "volumes/old.used"));
	assert_true(exists(*state, "volumes/busy/data"));
	store_unlock(lock);
	assert_int_equal(gc_all(s).volumes, 2);
}

static void orphans_and_partials(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct digest d = put_text(s, "orphan");
	assert_ok(store_db_exec(s, "DELETE FROM blobs"));
	assert_false(has_blob(s, &d));
	struct store_partial *p = NULL, *q = NULL;
	assert_ok(store_partial_open(s, "open", true, &p));
	assert_ok(store_partial_open(s, "closed", true, &q));
	store_partial_close(q);
	AUTO_FREE char *foreign = mem_printf("%s/blobs/sha256/README", (char *)*state);
	assert_ok(file_replace(AT_FDCWD, foreign, "x", 1, 0644, false));
	struct store_gc_result r = gc_all(s);
	assert_int_equal(r.blobs, 1);
	assert_int_equal(r.bytes, 6);
	assert_true(exists(*state, "partial/open"));
	assert_true(exists(*state, "partial/closed")); /* written to just now: its upload may go on */
	assert_int_equal(access(foreign, F_OK), 0);
	store_partial_close(p);
	AUTO_FREE char *file = blob_file(*state, &d);
	assert_int_equal(access(file, F_OK), -1);
}

static void usage(void **state)
{
	fill(*state);
	struct store *s AUTO(store_closep) = open_store(*state);
	struct store_usage u;
	assert_ok(store_usage(s, &u));
	assert_int_equal(u.blob_count, 5);
	assert_int_equal(u.blob_bytes, 8 + 6 + 5 + 5 + 6);
	assert_int_equal(u.tree_count, 2);
	assert_int_equal(u.tree_bytes, 8192);
	assert_int_equal(u.record_count, 2);
	assert_int_equal(u.reclaimable_bytes, 5 + 6 + 8192);
	assert_true(u.free_bytes > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(roots_stay, make_home, drop_home),
		cmocka_unit_test_setup_teardown(defaults_keep_the_cache, make_home, drop_home),
		cmocka_unit_test_setup_teardown(leases_of_others_stay, make_home, drop_home),
		cmocka_unit_test_setup_teardown(trimmed_lease, make_home, drop_home),
		cmocka_unit_test_setup_teardown(doomed_is_rescued, make_home, drop_home),
		cmocka_unit_test_setup_teardown(held_between_the_steps, make_home, drop_home),
		cmocka_unit_test_setup_teardown(holding_everything, make_home, drop_home),
		cmocka_unit_test_setup_teardown(threads, make_home, drop_home),
		cmocka_unit_test_setup_teardown(lazy_layers, make_home, drop_home),
		cmocka_unit_test_setup_teardown(half_removed, make_home, drop_home),
		cmocka_unit_test_setup_teardown(cache_limits, make_home, drop_home),
		cmocka_unit_test_setup_teardown(record_references, make_home, drop_home),
		cmocka_unit_test_setup_teardown(volumes, make_home, drop_home),
		cmocka_unit_test_setup_teardown(orphans_and_partials, make_home, drop_home),
		cmocka_unit_test_setup_teardown(usage, make_home, drop_home),
	};
	return cmocka_run_group_tests_name("store gc", tests, NULL, NULL);
}
