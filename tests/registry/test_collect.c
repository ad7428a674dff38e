/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "oci/images.h"
#include "registry/collect.h"
#include "registry/inventory.h"
#include "registry/registry_internal.h"
#include "registry/scrub.h"
#include "registry/upkeep.h"
#include "store/maintain.h"
#include "store/sqlite.h"
#include "sys/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY (24 * 3600 * CLOCK_SECOND)

struct fixture {
	char dir[64];
	struct store *s;
	struct registry_policy policy;
	struct strvec said; /* "<name>: <why>" */
};

static void assert_ok(struct err *e)
{
	if (!e)
		return;
	AUTO_FREE char *text = err_trace(e);
	fail_msg("%s", text);
}

static int setup(void **state)
{
	struct fixture *f = mem_new(struct fixture);
	snprintf(f->dir, sizeof(f->dir), "/tmp/cooper-collect-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_ok(store_open(f->dir, NULL, &f->s));
	registry_policy_init(&f->policy);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	store_close(f->s);
	registry_policy_fini(&f->policy);
	strvec_fini(&f->said);
	assert_ok(tree_remove(AT_FDCWD, f->dir));
	free(f);
	return 0;
}

/* ---- what there is ---- */

static struct descriptor put_manifest(struct fixture *f, const char *doc)
{
	struct descriptor d;
	assert_ok(images_put_manifest(f->s, str_c(doc), NULL, &d));
	return d;
}

static struct descriptor image_of(struct fixture *f, const char *text)
{
	struct descriptor config, layer;
	const char *doc = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
			  "\"diff_ids\":[]}}";
	descriptor_of(str_c(doc), MEDIA_OCI_CONFIG, &config);
	descriptor_of(str_c(text), MEDIA_OCI_LAYER_GZIP, &layer);
	assert_ok(store_blob_put(f->s, doc, strlen(doc), NULL));
	assert_ok(store_blob_put(f->s, text, strlen(text), NULL));
	AUTO_FREE char *manifest = manifest_write(&config, &layer, 1, NULL);
	return put_manifest(f, manifest);
}

/* An image about another one. */
static struct descriptor about(struct fixture *f, const struct descriptor *subject, const char *kind)
{
	char text[DIGEST_TEXT_MAX];
	assert_ok(store_blob_put(f->s, "{}", 2, NULL));
	AUTO_FREE char *doc = mem_printf(
		"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"artifactType\":\"%s\","
		"\"config\":{\"mediaType\":\"" MEDIA_OCI_EMPTY "\",\"digest\":\"sha256:"
		"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2},"
		"\"layers\":[],\"subject\":{\"mediaType\":\"" MEDIA_OCI_MANIFEST
		"\",\"digest\":\"%s\",\"size\":1}}",
		kind, digest_text(&subject->digest, text));
	return put_manifest(f, doc);
}

static void sql(struct fixture *f, const char *fmt, ...) PRINTF(2, 3);

static void sql(struct fixture *f, const char *fmt, ...)
{
	sqlite3 *db = NULL;
	AUTO_FREE char *path = mem_printf("%s/cooper.db", f->dir);
	va_list ap;
	va_start(ap, fmt);
	AUTO_FREE char *text = mem_vprintf(fmt, ap);
	va_end(ap);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* Make all that was told to the registry in this test so old. */
static void age(struct fixture *f, int64_t by)
{
	long long now = clock_now() - 3600 * CLOCK_SECOND;
	/* Notes of uses are written with a transaction. */
	assert_ok(store_begin(f->s));
	assert_ok(store_commit(f->s));
	sql(f, "UPDATE records SET created = created - %lld WHERE created > %lld", (long long)by, now);
	sql(f, "UPDATE records SET used = used - %lld WHERE used > %lld", (long long)by, now);
	sql(f,
		"UPDATE records SET value = json_set(value, '$.at', json_extract(value, '$.at') - %lld)"
		" WHERE space = 'repoblob' AND json_extract(value, '$.at') > %lld",
		(long long)by, now);
}

static void tag(struct fixture *f, const char *repository, const char *name, const struct descriptor *d)
{
	assert_ok(registry_publish(f->s, repository, name, d, true, NULL));
}

static void tag_aged(
	struct fixture *f, const char *repository, const char *name, const char *text, int64_t days)
{
	struct descriptor d = image_of(f, text);
	tag(f, repository, name, &d);
	age(f, days * DAY);
}

/* ---- rules ---- */

static struct retention_rule *add_rule(struct fixture *f, const char *repositories, uint64_t newest)
{
	struct retention_rule *r = vec_push(&f->policy.retention);
	r->keep_newest = newest;
	if (repositories)
		strvec_push(&r->repositories, repositories);
	return r;
}

static void note(void *ctx, const char *name, const char *why)
{
	struct fixture *f = ctx;
	strvec_pushf(&f->said, "%s: %s", name, why);
}

static struct registry_collected collect(struct fixture *f, const char *pinned, bool dry, struct map *gone)
{
	AUTO(map_freep) struct map *pins = map_new(NULL);
	struct registry_collect_options opt = {
		.policy = &f->policy, .pinned = pins, .dry_run = dry, .report = note, .ctx = f, .gone = gone};
	struct registry_collected did = {0};
	if (pinned)
		map_set_c(pins, pinned, f);
	strvec_clear(&f->said);
	assert_ok(registry_collect(f->s, &opt, NULL, &did));
	return did;
}

/* tags: all that the repository has, blank-separated. */
static void assert_tags(struct fixture *f, const char *repository, const char *tags)
{
	AUTO_STRVEC struct strvec have = {0};
	AUTO_BUF struct buf text = {0};
	assert_ok(registry_tags(f->s, repository, &have));
	for (size_t i = 0; i < have.len; i++)
		buf_addf(&text, "%s%s", i ? " " : "", have.ptr[i]);
	assert_string_equal(buf_cstr(&text), tags);
}

static bool has_manifest(struct fixture *f, const char *repository, const struct descriptor *d)
{
	AUTO(descriptor_fini) struct descriptor got = {0};
	bool found = false;
	assert_ok(records_manifest_get(f->s, repository, &d->digest, &got, &found));
	return found;
}

static void newest_and_younger(void **state)
{
	struct fixture *f = *state;
	tag_aged(f, "a/x", "v1", "1", 40);
	tag_aged(f, "a/x", "v2", "2", 30);
	tag_aged(f, "a/x", "v3", "3", 20);
	tag_aged(f, "a/x", "v4", "4", 10);
	tag_aged(f, "b/y", "v1", "1", 40);
	struct registry_collected did = collect(f, NULL, false, NULL);
	assert_int_equal(did.tags + did.manifests + did.blobs, 0);
	add_rule(f, "a/*", 1)->keep_younger = 25 * DAY;
	did = collect(f, NULL, false, NULL);
	assert_tags(f, "a/x", "v3 v4");
	assert_tags(f, "b/y", "v1");
	assert_int_equal(did.tags, 2);
	assert_int_equal(did.manifests, 2);
	/* Their layers; the config is that of those that stay. */
	assert_int_equal(did.blobs, 2);
	assert_string_equal(f->said.ptr[0], "a/x:v1: not among the newest 1; set 40d ago, kept for 25d");
	assert_int_equal(collect(f, NULL, false, NULL).tags, 0);
}

/* Aliases do not use up the number, and what is set again is young again. */
static void images_are_counted(void **state)
{
	struct fixture *f = *state;
	tag_aged(f, "a", "v1", "1", 40);
	tag_aged(f, "a", "v2", "2", 30);
	tag_aged(f, "a", "v3", "3", 20);
	tag_aged(f, "a", "stable", "3", 19);
	tag_aged(f, "a", "latest", "3", 18);
	add_rule(f, NULL, 2);
	assert_int_equal(collect(f, NULL, false, NULL).tags, 1);
	assert_tags(f, "a", "latest stable v2 v3");
	tag_aged(f, "a", "v2", "2", 5);
	f->policy.retention.len = 0;
	add_rule(f, NULL, 1);
	assert_int_equal(collect(f, NULL, false, NULL).tags, 3);
	assert_tags(f, "a", "v2");
}

static void ask(struct fixture *f, const char *name, int64_t days)
{
	sql(f, "UPDATE records SET used = %lld WHERE key = '%s'", (long long)(clock_now() - days * DAY),
		name);
}

static void pulled(void **state)
{
	struct fixture *f = *state;
	char text[DIGEST_TEXT_MAX];
	struct descriptor three = image_of(f, "3");
	tag_aged(f, "a", "v1", "1", 40);
	tag_aged(f, "a", "v2", "2", 40);
	tag_aged(f, "a", "v3", "3", 40);
	tag_aged(f, "a", "v4", "4", 40);
	tag_aged(f, "a", "alias", "3", 40);
	AUTO_FREE char *by_digest = mem_printf("a@%s", digest_text(&three.digest, text));
	ask(f, "a:v1", 30);
	ask(f, "a:v2", 10);
	ask(f, by_digest, 10);
	add_rule(f, NULL, 0)->keep_pulled = 20 * DAY;
	collect(f, NULL, false, NULL);
	assert_tags(f, "a", "alias v2 v3");
	assert_true(strvec_has(&f->said, "a:v1: asked for last 30d ago, kept for 20d"));
	assert_true(strvec_has(&f->said, "a:v4: asked for last 40d ago, kept for 20d"));
}

/* What a request asks for is written down by the upkeep. */
static void a_request_is_a_pull(void **state)
{
	struct fixture *f = *state;
	AUTO(descriptor_fini) struct descriptor got = {0};
	bool found = false;
	tag_aged(f, "a", "v1", "1", 40);
	tag_aged(f, "a", "v2", "2", 40);
	assert_ok(records_tag_get(f->s, "a", "v2", &got, &found));
	assert_ok(store_note_uses(f->s));
	add_rule(f, NULL, 0)->keep_pulled = DAY;
	collect(f, NULL, false, NULL);
	assert_tags(f, "a", "v2");
}

static void names_and_pins(void **state)
{
	struct fixture *f = *state;
	char text[DIGEST_TEXT_MAX];
	tag_aged(f, "a", "v1", "1", 40);
	tag_aged(f, "a", "v2", "2", 30);
	tag_aged(f, "a", "keep-me", "3", 20);
	tag_aged(f, "a", "v4", "4", 10);
	struct retention_rule *r = add_rule(f, NULL, 1);
	strvec_push(&r->keep_tags, "keep-*");
	assert_int_equal(collect(f, "a:v1", false, NULL).tags, 1);
	assert_tags(f, "a", "keep-me v1 v4");
	struct descriptor one = image_of(f, "1");
	AUTO_FREE char *by_digest = mem_printf("a@%s", digest_text(&one.digest, text));
	assert_int_equal(collect(f, by_digest, false, NULL).tags, 0);
	/* What is pinned is not known: then nothing goes. */
	strvec_push(&f->policy.pinned_in, "/nowhere");
	struct registry_collect_options opt = {.policy = &f->policy};
	struct registry_collected did = {0};
	assert_ok(registry_collect(f->s, &opt, NULL, &did));
	assert_int_equal(did.tags + did.manifests, 0);
	assert_int_equal(collect(f, NULL, false, NULL).tags, 1);
}

/* What a client attached stays without what it belongs to where a name keeps it. */
static void attached_and_named(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_TEXT_MAX];
	struct descriptor old = image_of(f, "old"), signature = image_of(f, "a signature by tag");
	AUTO_FREE char *attached = mem_printf("sha256-%s.sig", digest_hex(&old.digest, hex));
	AUTO_FREE char *pin = mem_printf("a:%s", attached);
	tag_aged(f, "a", "old", "old", 40);
	tag(f, "a", attached, &signature);
	age(f, 40 * DAY);
	tag_aged(f, "a", "new", "new", 10);
	struct retention_rule *r = add_rule(f, NULL, 1);
	collect(f, pin, false, NULL);
	AUTO_FREE char *both = mem_printf("new %s", attached);
	assert_tags(f, "a", both);
	assert_true(has_manifest(f, "a", &signature));
	strvec_push(&r->keep_tags, "*.sig");
	tag(f, "a", "old", &old);
	age(f, 40 * DAY);
	collect(f, NULL, false, NULL);
	assert_tags(f, "a", both);
}

static void grace(void **state)
{
	struct fixture *f = *state;
	struct descriptor one = image_of(f, "1"), two = image_of(f, "2");
	tag(f, "a", "v1", &one);
	tag(f, "a", "v2", &two);
	add_rule(f, NULL, 1);
	assert_int_equal(collect(f, NULL, false, NULL).tags, 0);
	age(f, 2 * DAY);
	assert_int_equal(collect(f, NULL, false, NULL).tags, 1);
	assert_tags(f, "a", "v2");
}

static void families(void **state)
{
	struct fixture *f = *state;
	struct descriptor children[2] = {image_of(f, "amd64"), image_of(f, "arm64")};
	AUTO_FREE char *text = index_write(children, 2, NULL);
	struct descriptor index = put_manifest(f, text), sbom, signature;
	char hex[DIGEST_TEXT_MAX];
	tag(f, "a", "old", &index);
	sbom = about(f, &index, "application/sbom");
	signature = about(f, &sbom, "application/signature");
	AUTO_FREE char *attached = mem_printf("sha256-%s.sig", digest_hex(&index.digest, hex));
	tag(f, "a", "tmp", &sbom);
	tag(f, "a", "tmp", &signature);
	struct descriptor cosign = image_of(f, "a signature by tag");
	tag(f, "a", attached, &cosign);
	age(f, 40 * DAY);
	bool deleted = false;
	assert_ok(records_tag_delete(f->s, "a", "tmp", &deleted));
	/* Children, what is said about it and about that, and the attached tag stay with it. */
	add_rule(f, NULL, 1);
	assert_int_equal(collect(f, NULL, false, NULL).manifests, 0);
	assert_true(has_manifest(f, "a", &signature));
	tag_aged(f, "a", "new", "new", 10);
	AUTO(map_freep) struct map *gone = map_new(NULL);
	struct registry_collected dry = collect(f, NULL, true, gone);
	struct registry_collected did = collect(f, NULL, false, NULL);
	assert_tags(f, "a", "new");
	assert_int_equal(did.tags, 2);
	assert_int_equal(did.manifests, 6);
	assert_int_equal(dry.tags, did.tags);
	assert_int_equal(dry.manifests, did.manifests);
	assert_int_equal(dry.blobs, did.blobs);
	AUTO_FREE char *key = mem_printf("tag/a:%s", attached);
	assert_true(map_has(gone, str_c(key)) && map_has(gone, STR("tag/a:old")));
	assert_false(has_manifest(f, "a", &children[0]) || has_manifest(f, "a", &sbom) ||
		     has_manifest(f, "a", &cosign));
}

/* A child that has a tag of its own outlives the index, and keeps what is about it. */
static void shared_children(void **state)
{
	struct fixture *f = *state;
	struct descriptor child = image_of(f, "amd64"), other = image_of(f, "arm64");
	struct descriptor both[2] = {child, other};
	AUTO_FREE char *text = index_write(both, 2, NULL);
	struct descriptor index = put_manifest(f, text), note_of_child = about(f, &child, "application/note");
	tag(f, "a", "multi", &index);
	tag(f, "a", "note", &note_of_child);
	age(f, 40 * DAY);
	tag(f, "a", "amd64", &child);
	age(f, 10 * DAY);
	add_rule(f, NULL, 1);
	assert_int_equal(collect(f, NULL, false, NULL).manifests, 2);
	assert_tags(f, "a", "amd64");
	assert_true(has_manifest(f, "a", &child) && has_manifest(f, "a", &note_of_child));
	assert_false(has_manifest(f, "a", &other) || has_manifest(f, "a", &index));
}

/* ---- pushes while it is chosen and deleted ---- */

struct push {
	struct fixture *f;
	struct descriptor d;
	struct manifest m;
	const char *repository, *tag; /* tag NULL: by digest alone */
	bool done;
};

static void push_prepare(struct push *p, struct fixture *f, const struct descriptor *d, const char *tag)
{
	AUTO_BUF struct buf bytes = {0};
	*p = (struct push){.f = f, .d = *d, .repository = "a", .tag = tag};
	assert_ok(store_blob_read(f->s, &d->digest, MANIFEST_MAX, &bytes));
	assert_ok(manifest_parse(buf_str(&bytes), NULL, &p->m));
}

static struct err *push_in_tx(void *ctx)
{
	struct push *p = ctx;
	TRY(records_manifest_put(p->f->s, p->repository, &p->d, &p->m));
	return p->tag ? records_tag_put(p->f->s, p->repository, p->tag, &p->d) : NULL;
}

/* As a client does that was told that all else is there. */
static void push_meanwhile(void *ctx, const char *name, const char *why)
{
	struct push *p = ctx;
	(void)name;
	(void)why;
	if (!p->done)
		assert_ok(records_atomically(p->f->s, push_in_tx, p));
	p->done = true;
}

static void collect_beside(struct push *p)
{
	AUTO(map_freep) struct map *pins = map_new(NULL);
	struct registry_collect_options opt = {
		.policy = &p->f->policy, .pinned = pins, .report = push_meanwhile, .ctx = p};
	struct registry_collected did = {0};
	assert_ok(registry_collect(p->f->s, &opt, NULL, &did));
	assert_true(p->done);
	manifest_fini(&p->m);
}

static bool has_layer(struct fixture *f, const char *repository, const char *text)
{
	struct digest d;
	bool found = false;
	digest_of(text, strlen(text), &d);
	assert_ok(records_blob_has(f->s, repository, &d, &found));
	return found;
}

static void index_gets_a_tag_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct push p;
	struct descriptor children[2] = {image_of(f, "amd64"), image_of(f, "arm64")};
	AUTO_FREE char *text = index_write(children, 2, NULL);
	struct descriptor inner = put_manifest(f, text);
	AUTO_FREE char *outer_text = index_write(&inner, 1, NULL);
	struct descriptor outer = put_manifest(f, outer_text);
	struct descriptor sbom = about(f, &children[1], "application/sbom");
	tag(f, "a", "old", &outer);
	tag(f, "a", "about", &sbom);
	age(f, 40 * DAY);
	bool deleted = false;
	assert_ok(records_tag_delete(f->s, "a", "about", &deleted));
	tag_aged(f, "a", "new", "new", 10);
	add_rule(f, NULL, 1);
	push_prepare(&p, f, &outer, "again");
	collect_beside(&p);
	assert_tags(f, "a", "again new");
	assert_true(has_manifest(f, "a", &outer) && has_manifest(f, "a", &inner));
	assert_true(has_manifest(f, "a", &children[0]) && has_manifest(f, "a", &children[1]));
	assert_true(has_manifest(f, "a", &sbom));
	assert_true(has_layer(f, "a", "amd64") && has_layer(f, "a", "arm64"));
}

static void manifest_is_put_again_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct push p;
	struct descriptor old = image_of(f, "old");
	tag_aged(f, "a", "old", "old", 40);
	tag_aged(f, "a", "new", "new", 10);
	add_rule(f, NULL, 1);
	push_prepare(&p, f, &old, NULL);
	collect_beside(&p);
	assert_tags(f, "a", "new");
	assert_true(has_manifest(f, "a", &old) && has_layer(f, "a", "old"));
	/* For the grace, as if it had come for the first time. */
	collect(f, NULL, false, NULL);
	assert_true(has_manifest(f, "a", &old));
	age(f, 40 * DAY);
	f->policy.untagged = DAY;
	collect(f, NULL, false, NULL);
	assert_false(has_manifest(f, "a", &old));
}

static void manifest_comes_back_before_its_blobs_go(void **state)
{
	struct fixture *f = *state;
	struct push p;
	struct descriptor old = image_of(f, "old");
	AUTO(inventory_fini) struct inventory v = {0};
	AUTO(prune_fini) struct prune prune = {0};
	bool deleted = false;
	tag_aged(f, "a", "old", "old", 40);
	assert_ok(inventory_load(f->s, NULL, &v));
	assert_ok(records_manifest_delete(f->s, "a", &old.digest, &deleted));
	assert_true(deleted);
	assert_ok(prune_choose(&v, DAY, &prune));
	assert_int_equal(prune.victims.len, 2);
	push_prepare(&p, f, &old, NULL);
	push_meanwhile(&p, NULL, NULL);
	manifest_fini(&p.m);
	assert_ok(prune_apply(&prune, NULL));
	assert_int_equal(prune.dropped, 0);
	assert_true(has_layer(f, "a", "old"));
}

/* How many puts the registry knows by key, and what finds them when it does not. */
static void what_was_put_since_is_found(void **state)
{
	struct fixture *f = *state;
	AUTO(inventory_fini) struct inventory v = {0};
	struct descriptor one = image_of(f, "1"), two = image_of(f, "2"), again = image_of(f, "3");
	bool deleted = false;
	tag(f, "a", "again", &again);
	assert_ok(inventory_load(f->s, NULL, &v));
	tag(f, "a", "again", &again);
	tag(f, "b", "one", &one);
	tag(f, "b", "two", &two);
	assert_ok(records_manifest_delete(f->s, "b", &two.digest, &deleted));
	assert_ok(inventory_refresh(&v));
	assert_int_equal(v.fresh.len, 2);
	assert_true(inventory_manifest(&v, str_c("a"), &again.digest)->kept);
	assert_true(inventory_manifest(&v, str_c("b"), &one.digest)->kept);
	assert_null(inventory_manifest(&v, str_c("b"), &two.digest));
	assert_ok(inventory_refresh(&v));
	assert_int_equal(v.fresh.len, 0);
	tag(f, "c", "first", &two);
	for (size_t i = 0; i < LAST_PUTS; i++)
		tag(f, "c", "one", &one);
	assert_ok(inventory_refresh(&v));
	assert_int_equal(v.fresh.len, 2);
	assert_non_null(inventory_manifest(&v, str_c("c"), &two.digest));
	tag(f, "d", "one", &one);
	tag(f, "d", "two", &two);
	sql(f, "DELETE FROM records WHERE space = 'registry' AND key LIKE 'put:%%'");
	assert_ok(inventory_refresh(&v));
	assert_int_equal(v.fresh.len, 2);
}

static void untagged(void **state)
{
	struct fixture *f = *state;
	struct descriptor one = image_of(f, "1"), two = image_of(f, "2");
	tag(f, "a", "latest", &one);
	tag(f, "a", "latest", &two);
	age(f, 10 * DAY);
	assert_int_equal(collect(f, NULL, false, NULL).manifests, 0);
	f->policy.untagged = 20 * DAY;
	assert_int_equal(collect(f, NULL, false, NULL).manifests, 0);
	f->policy.untagged = 7 * DAY;
	assert_int_equal(collect(f, NULL, false, NULL).manifests, 1);
	assert_true(has_manifest(f, "a", &two) && !has_manifest(f, "a", &one));
}

static void dry_run_says_bytes(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *big = mem_zalloc(100001);
	memset(big, 'x', 100000);
	tag_aged(f, "a", "v1", big, 40);
	tag_aged(f, "a", "v2", "2", 10);
	add_rule(f, NULL, 1);
	store_close(f->s);
	assert_ok(store_open(f->dir, NULL, &f->s));
	AUTO(map_freep) struct map *gone = map_new(NULL);
	struct store_gc_result would = {0}, did = {0};
	assert_int_equal(collect(f, NULL, true, gone).tags, 1);
	assert_ok(store_lease_trim(f->s, clock_now()));
	assert_ok(store_gc(f->s, &(struct store_gc_options){.dry_run = true, .without = gone}, NULL, &would));
	assert_true(would.bytes > 100000);
	assert_tags(f, "a", "v1 v2");
	assert_int_equal(collect(f, NULL, false, NULL).tags, 1);
	assert_ok(store_lease_trim(f->s, clock_now()));
	assert_ok(store_gc(f->s, NULL, NULL, &did));
	assert_int_equal(did.bytes, would.bytes);
	assert_int_equal(did.blobs, would.blobs);
}

/* ---- quotas ---- */

static uint64_t usage(struct fixture *f, const char *repository)
{
	uint64_t bytes = 0;
	assert_ok(registry_usage(f->s, repository, &bytes));
	return bytes;
}

static void counting(void **state)
{
	struct fixture *f = *state;
	struct descriptor one = image_of(f, "0123456789");
	uint64_t config = 0;
	assert_int_equal(usage(f, "a/x"), 0);
	tag(f, "a/x", "v1", &one);
	config = usage(f, "a/x") - one.size - 10;
	assert_true(config > 0 && config < 200);
	/* In another repository of the namespace only the manifest counts. */
	tag(f, "a/y", "v1", &one);
	assert_int_equal(usage(f, "a/y"), config + 10 + 2 * one.size);
	tag(f, "a/y", "v2", &one);
	assert_int_equal(usage(f, "a/y"), config + 10 + 2 * one.size);
	tag(f, "ab/x", "v1", &one);
	tag(f, "a", "v1", &one);
	assert_int_equal(usage(f, "ab/x"), config + 10 + one.size);
	assert_int_equal(usage(f, "a/x"), config + 10 + 3 * one.size);
	uint64_t before = usage(f, "a/x");
	assert_ok(registry_recount(f->s));
	assert_int_equal(usage(f, "a/x"), before);
	bool deleted = false;
	struct digest layer;
	digest_of("0123456789", 10, &layer);
	assert_ok(records_blob_delete(f->s, "a/x", &layer, &deleted));
	assert_int_equal(usage(f, "a/x"), before);
	assert_ok(records_blob_delete(f->s, "a/y", &layer, &deleted));
	assert_ok(records_blob_delete(f->s, "a", &layer, &deleted));
	assert_int_equal(usage(f, "a/x"), before - 10);
	assert_ok(records_blob_delete(f->s, "a", &layer, &deleted));
	assert_false(deleted);
	assert_ok(records_manifest_delete(f->s, "a", &one.digest, &deleted));
	assert_int_equal(usage(f, "a/x"), before - 10 - one.size);
}

/* ---- scrub ---- */

static void damage(struct fixture *f, const struct digest *d)
{
	char hex[DIGEST_TEXT_MAX];
	AUTO_FREE char *path = mem_printf("%s/blobs/sha256/%.2s/%s", f->dir, digest_hex(d, hex), hex);
	AUTO_FD int fd = open(path, O_RDWR);
	if (fd < 0) {
		assert_int_equal(chmod(path, 0600), 0);
		fd = open(path, O_RDWR);
	}
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "?", 1, 0), 1);
}

static json_t *scrub_report(struct fixture *f)
{
	json_t *o = NULL;
	assert_ok(registry_scrub_report(f->s, &o));
	return o;
}

static void scrub(void **state)
{
	struct fixture *f = *state;
	struct descriptor image = image_of(f, "layer"), good = image_of(f, "good");
	struct digest layer;
	digest_of("layer", 5, &layer);
	tag(f, "a", "v1", &image);
	tag(f, "a", "v2", &good);
	damage(f, &layer);
	/* So short a step that it takes one blob at a time: two manifests, two layers and their config, and
	 * one to see the end. */
	for (int i = 0; i < 6; i++) {
		AUTO_JSON json_t *now = scrub_report(f);
		assert_true(json_is_null(json_object_get(now, "last")));
		assert_ok(scrub_step(f->s, 100 * DAY, 1, NULL));
	}
	AUTO_JSON json_t *o = scrub_report(f);
	const json_t *last = json_object_get(o, "last"), *finding;
	assert_int_equal(json_integer_value(json_object_get(last, "problems")), 1);
	assert_int_equal(json_array_size(json_object_get(o, "findings")), 1);
	finding = json_array_get(json_object_get(o, "findings"), 0);
	assert_false(json_is_true(json_object_get(finding, "healed")));
	AUTO_FREE char *lost = json_dump(json_object_get(finding, "lost"), false);
	assert_non_null(strstr(lost, "\"tag/a:v1\""));
	assert_null(strstr(lost, "v2"));
	assert_tags(f, "a", "v2");
	/* Resting until its time is over; then it begins anew. */
	assert_ok(scrub_step(f->s, 100 * DAY, 1, NULL));
	AUTO_JSON json_t *rest = scrub_report(f);
	assert_true(json_is_null(json_object_get(rest, "pass")));
	image = image_of(f, "layer");
	tag(f, "a", "v1", &image);
	assert_ok(scrub_step(f->s, 1, 1, NULL));
	AUTO_JSON json_t *again = scrub_report(f);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(again, "last"), "problems")), 0);
	finding = json_array_get(json_object_get(again, "findings"), 0);
	assert_true(json_is_true(json_object_get(finding, "healed")));
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(attached_and_named),
		FIXTURE_TEST(index_gets_a_tag_meanwhile),
		FIXTURE_TEST(manifest_is_put_again_meanwhile),
		FIXTURE_TEST(manifest_comes_back_before_its_blobs_go),
		FIXTURE_TEST(what_was_put_since_is_found),
		FIXTURE_TEST(newest_and_younger),
		FIXTURE_TEST(images_are_counted),
		FIXTURE_TEST(pulled),
		FIXTURE_TEST(a_request_is_a_pull),
		FIXTURE_TEST(names_and_pins),
		FIXTURE_TEST(grace),
		FIXTURE_TEST(families),
		FIXTURE_TEST(shared_children),
		FIXTURE_TEST(untagged),
		FIXTURE_TEST(dry_run_says_bytes),
		FIXTURE_TEST(counting),
		FIXTURE_TEST(scrub),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
