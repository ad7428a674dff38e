/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "registry/registry_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void ranges(void **state)
{
	(void)state;
	static const struct {
		const char *header;
		uint64_t size;
		enum range_result result;
		uint64_t from, length;
	} cases[] = {
		{NULL, 10, RANGE_WHOLE, 0, 0},
		{"bytes=0-0", 10, RANGE_PART, 0, 1},
		{"bytes=500-1499", 2048, RANGE_PART, 500, 1000},
		{"bytes=500-", 2048, RANGE_PART, 500, 1548},
		{"bytes=-500", 2048, RANGE_PART, 1548, 500},
		{"bytes=-5000", 2048, RANGE_PART, 0, 2048},
		{"bytes=2000-5000", 2048, RANGE_PART, 2000, 48},
		{"Bytes= 1-2", 10, RANGE_PART, 1, 2},
		{"bytes=5000-10000", 2048, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=2048-", 2048, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=500-0", 2048, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=-0", 2048, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=-1", 0, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=0-18446744073709551615", 10, RANGE_PART, 0, 10},
		{"bytes=0-99999999999999999999999", 10, RANGE_WHOLE, 0, 0},
		{"bytes=0-1,3-4", 10, RANGE_WHOLE, 0, 0},
		{"bytes=", 10, RANGE_WHOLE, 0, 0},
		{"bytes=-", 10, RANGE_WHOLE, 0, 0},
		{"bytes=a-b", 10, RANGE_WHOLE, 0, 0},
		{"bytes=--1", 10, RANGE_WHOLE, 0, 0},
		{"items=0-1", 10, RANGE_WHOLE, 0, 0},
		{"", 10, RANGE_WHOLE, 0, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t from = 0, length = 0;
		enum range_result r = range_parse(cases[i].header, cases[i].size, &from, &length);
		if (r != cases[i].result)
			fail_msg("range \"%s\"", cases[i].header);
		if (r == RANGE_PART) {
			assert_int_equal(from, cases[i].from);
			assert_int_equal(length, cases[i].length);
		}
	}
}

static void content_ranges(void **state)
{
	(void)state;
	uint64_t a = 0, b = 0;
	assert_true(content_range_parse("0-1023", &a, &b) && a == 0 && b == 1023);
	assert_true(content_range_parse("bytes 5-6/*", &a, &b) && a == 5 && b == 6);
	assert_true(content_range_parse("bytes=5-6", &a, &b) && a == 5 && b == 6);
	static const char *const bad[] = {"", "-", "5-", "-5", "6-5", "a-b", "0x1-2", "bytes", "bytes */5"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(content_range_parse(bad[i], &a, &b));
}

static void check_route(const char *path, enum route_kind kind, const char *repository, const char *reference)
{
	struct route r;
	registry_route(path, &r);
	if (r.kind != kind || (repository && !str_eq_c(r.repository, repository)) ||
		(reference && !str_eq_c(r.reference, reference)))
		fail_msg("path \"%s\"", path);
}

static void routes(void **state)
{
	(void)state;
	check_route("/v2", ROUTE_PING, NULL, NULL);
	check_route("/v2/", ROUTE_PING, NULL, NULL);
	check_route("/v2/_catalog", ROUTE_CATALOG, NULL, NULL);
	check_route("/v2/a/tags/list", ROUTE_TAGS, "a", NULL);
	check_route("/v2/a/b/c/tags/list", ROUTE_TAGS, "a/b/c", NULL);
	check_route("/v2/a/manifests/v1", ROUTE_MANIFEST, "a", "v1");
	check_route("/v2/a/manifests/sha256:ab", ROUTE_MANIFEST, "a", "sha256:ab");
	check_route("/v2/a/blobs/sha256:ab", ROUTE_BLOB, "a", "sha256:ab");
	check_route("/v2/a/blobs/uploads", ROUTE_UPLOAD_START, "a", NULL);
	check_route("/v2/a/blobs/uploads/", ROUTE_UPLOAD_START, "a", NULL);
	check_route("/v2/a/b/blobs/uploads/0123", ROUTE_UPLOAD, "a/b", "0123");
	check_route("/v2/a/referrers/sha256:ab", ROUTE_REFERRERS, "a", "sha256:ab");
	/* Repositories may be called like parts of the API. */
	check_route("/v2/manifests/manifests/blobs", ROUTE_MANIFEST, "manifests", "blobs");
	check_route("/v2/blobs/uploads/manifests/x", ROUTE_MANIFEST, "blobs/uploads", "x");
	check_route("/v2/tags/list/tags/list", ROUTE_TAGS, "tags/list", NULL);
	check_route("/v2/blobs/uploads", ROUTE_UPLOAD_START, "", NULL);
	check_route("/v2/a", ROUTE_UNKNOWN, NULL, NULL);
	check_route("/v2/manifests/x", ROUTE_MANIFEST, "", "x");
	check_route("/v1/a/manifests/x", ROUTE_UNKNOWN, NULL, NULL);
	check_route("/", ROUTE_UNKNOWN, NULL, NULL);
	check_route("", ROUTE_UNKNOWN, NULL, NULL);
	check_route("/v2//", ROUTE_UNKNOWN, NULL, NULL);
}

static void patterns(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *text;
		bool match;
	} cases[] = {
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything/at.all", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"homelab/*", "homelab/a/b", true},
		{"homelab/*", "homelab", false},
		{"latest", "latest2", false},
		{"v*-<sha>", "v1.2.3-74029e1", true},
		{"v*-<sha>", "v1-74029e1a", false},
		{"v*-<sha>", "v-74029e1", true},
		{"v*-<sha>", "v74029e1", false},
		{"v*-<sha>", "v1.2.3-74029e1-nix", false},
		{"v*-<sha>-nix", "v1.2.3-74029e1-nix", true},
		{"v*-<sha>", "v1-0123456789abcdef0123456789abcdef01234567", true},
		{"v*-<sha>", "v1-20240101", false},
		{"v*-<sha>", "v1-74029E1", false},
		{"<sha>", "74029e1", true},
		{"<sha>", "74029e", false},
		{"*<sha>*", "x-74029e1", true},
		{"<sha>-<sha>", "74029e1-<sha>", true},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (policy_match(str_c(cases[i].pattern), str_c(cases[i].text)) != cases[i].match)
			fail_msg("pattern \"%s\", text \"%s\"", cases[i].pattern, cases[i].text);
}

static void policy_defaults(void **state)
{
	(void)state;
	struct registry_policy p;
	registry_policy_init(&p);
	assert_true(policy_immutable(&p, STR("v1.2-74029e1")));
	assert_true(policy_immutable(&p, STR("v1.2-74029e1-nix")));
	assert_false(policy_immutable(&p, STR("v1.2")));
	assert_false(policy_immutable(&p, STR("v1.2-74029e1-unpushed")));
	assert_null(policy_retention(&p, STR("a/b")));
	assert_true(policy_quota(&p, STR("a")) == UINT64_MAX);
	struct registry_quota *q = vec_push(&p.quotas);
	*q = (struct registry_quota){mem_strdup("*"), 5};
	q = vec_push(&p.quotas);
	*q = (struct registry_quota){mem_strdup("a"), 7};
	assert_int_equal(policy_quota(&p, STR("a")), 7);
	assert_int_equal(policy_quota(&p, STR("b")), 5);
	assert_true(str_eq_c(policy_namespace(STR("a/b/c")), "a"));
	assert_true(str_eq_c(policy_namespace(STR("a")), "a"));
	registry_policy_fini(&p);
}

static void add_cache(struct registry_policy *p, const char *upstream, const char *prefix)
{
	struct registry_cache *c = vec_push(&p->caches);
	c->upstream = mem_strdup(upstream);
	c->prefix = mem_strdup(prefix);
}

static void places(void **state)
{
	(void)state;
	static const struct {
		const char *repository, *ns, *there,
			*here; /* there "-": it is nobody's copy; NULL: refused */
	} cases[] = {
		{"lab/app", NULL, "-", "lab/app"},
		{"lab/app", "", "-", "lab/app"},
		{"docker.io/debian", NULL, "library/debian", "docker.io/library/debian"},
		{"docker.io/a/b", NULL, "a/b", "docker.io/a/b"},
		{"docker.io", NULL, "", "docker.io"},
		{"docker.iox/a", NULL, "-", "docker.iox/a"},
		{"a/docker.io/b", NULL, "-", "a/docker.io/b"},
		{"debian", "docker.io", "library/debian", "docker.io/library/debian"},
		{"library/debian", "registry-1.docker.io", "library/debian", "docker.io/library/debian"},
		{"docker.io/debian", "docker.io", "library/debian", "docker.io/library/debian"},
		/* Of one upstream, whatever the name looks like. */
		{"docker.io/debian", "lab.example:5000", "docker.io/debian", "mirrors/lab/docker.io/debian"},
		{"app", "lab.example:5000", "app", "mirrors/lab/app"},
		{"mirrors/lab/app", "lab.example:5000", "app", "mirrors/lab/app"},
		{"app", "lab.example", NULL, NULL},
		{"app", "http://docker.io", NULL, NULL},
		{"docker.io/debian", "quay.io", NULL, NULL},
	};
	struct registry_policy p;
	registry_policy_init(&p);
	add_cache(&p, "docker.io", "docker.io");
	add_cache(&p, "lab.example:5000", "mirrors/lab");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct registry_cache *c = NULL;
		char *there = NULL, *here = NULL;
		bool ok = policy_place(&p, str_c(cases[i].repository), cases[i].ns, &c, &there, &here);
		if (ok != (cases[i].here != NULL) || !cstr_eq(here, cases[i].here) ||
			(ok && !cstr_eq(c ? there : "-", cases[i].there)))
			fail_msg("%s, ns %s: %s, %s", cases[i].repository, cases[i].ns, there, here);
		free(there);
		free(here);
	}
	struct registry_cache *c = vec_at(&p.caches, 0);
	assert_true(policy_cache_offers(c, STR("any/thing")));
	strvec_push(&c->repositories, "library/*");
	assert_true(policy_cache_offers(c, STR("library/debian")));
	assert_false(policy_cache_offers(c, STR("other/debian")));
	registry_policy_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places),
		cmocka_unit_test(ranges),
		cmocka_unit_test(content_ranges),
		cmocka_unit_test(routes),
		cmocka_unit_test(patterns),
		cmocka_unit_test(policy_defaults),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
