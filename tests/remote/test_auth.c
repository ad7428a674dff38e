/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "fixture.h"
#include "remote/auth.h"
#include "sys/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
	(void)state;
	(void)fixture_start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_end();
	return 0;
}

/* want: "user:password", "identity TOKEN", "bearer TOKEN" or "". */
static void check(const char *file, const char *registry, const char *repository, const char *want)
{
	AUTO(credential_fini) struct credential c = {0};
	AUTO_STRVEC struct strvec looked = {0};
	ok(auth_lookup(file, registry, repository, NULL, &c, &looked));
	AUTO_FREE char *got = c.identity_token   ? mem_printf("identity %s", c.identity_token)
			      : c.registry_token ? mem_printf("bearer %s", c.registry_token)
			      : c.user           ? mem_printf("%s:%s", c.user, c.password)
						 : mem_strdup("");
	if (!cstr_eq(got, want))
		fail_msg("%s/%s: got '%s', want '%s'", registry, repository ? repository : "", got, want);
	assert_true(looked.len > 0);
	assert_true(!*want == !c.source);
}

/* base64: dTpw u:p, YTpi a:b, eDp5Ono= x:y:z */
static const char entries[] = "{\"auths\":{"
			      "\"plain.example\":{\"auth\":\"dTpw\"},"
			      "\"colon.example\":{\"auth\":\"eDp5Ono=\"},"
			      "\"https://index.docker.io/v1/\":{\"auth\":\"YTpi\"},"
			      "\"http://scheme.example:5000/v2/\":{\"auth\":\"YTpi\"},"
			      "\"path.example\":{\"auth\":\"dTpw\"},"
			      "\"path.example/team\":{\"auth\":\"YTpi\"},"
			      "\"path.example/team/app\":{\"username\":\"n\",\"password\":\"w\"},"
			      "\"empty.example\":{},"
			      "\"identity.example\":{\"auth\":\"dTpw\",\"identitytoken\":\"tok\"},"
			      "\"ready.example\":{\"registrytoken\":\"tok\"}"
			      "},\"HttpHeaders\":{\"User-Agent\":\"x\"}}";

static void test_entries(void **state)
{
	(void)state;
	AUTO_FREE char *file = fixture_file("entries.json", entries);
	check(file, "plain.example", NULL, "u:p");
	check(file, "plain.example", "any/thing", "u:p");
	check(file, "plain.example:5000", NULL, "");
	check(file, "lain.example", NULL, "");
	check(file, "colon.example", NULL, "x:y:z");
	check(file, "docker.io", "library/debian", "a:b");
	check(file, "scheme.example:5000", "x", "a:b");
	check(file, "path.example", "other", "u:p");
	check(file, "path.example", "teams", "u:p");
	check(file, "path.example", "team/web", "a:b");
	check(file, "path.example", "team/app", "n:w");
	check(file, "empty.example", NULL, "");
	check(file, "identity.example", NULL, "identity tok");
	check(file, "ready.example", NULL, "bearer tok");
	check("/nonexistent/auth.json", "plain.example", NULL, "");
}

static void test_malformed(void **state)
{
	(void)state;
	const struct {
		const char *text, *part;
	} bad[] = {
		{"{", "bad.json"},
		{"[]", "is not a JSON object"},
		{"{\"auths\":[]}", "auths"},
		{"{\"auths\":{\"h\":{\"auth\":\"%%%\"}}}", "not base64"},
		{"{\"auths\":{\"h\":{\"auth\":\"dXA=\"}}}", "not user:password"},
		{"{\"auths\":{\"h\":{\"auth\":7}}}", "auth"},
		{"{\"credHelpers\":{\"h\":\"../../evil\"}}", "is no name for a credential helper"},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_FREE char *file = fixture_file("bad.json", bad[i].text);
		AUTO(credential_fini) struct credential c = {0};
		AUTO_STRVEC struct strvec looked = {0};
		refused(auth_lookup(file, "h", NULL, NULL, &c, &looked), ERR_INVALID, bad[i].part);
	}
}

static void make_dir(const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", getenv("HOME"), name);
	ok(dir_make_all(AT_FDCWD, path, 0700));
}

static void one_entry(const char *name, const char *auth)
{
	AUTO_FREE char *text = mem_printf("{\"auths\":{\"h\":{\"auth\":\"%s\"}}}", auth);
	AUTO_FREE char *path = fixture_file(name, text);
}

static void test_places(void **state)
{
	(void)state;
	const char *home = getenv("HOME");
	AUTO_FREE char *runtime = mem_printf("%s/run", home), *config = mem_printf("%s/cfg", home),
		       *docker = mem_printf("%s/dock", home), *only = mem_printf("%s/only.json", home);
	make_dir("run/containers");
	make_dir("cfg/containers");
	make_dir("dock");
	make_dir(".docker");
	check(NULL, "h", NULL, "");
	AUTO_FREE char *legacy = fixture_file(".dockercfg", "{\"h\":{\"auth\":\"MDox\"}}");
	check(NULL, "h", NULL, "0:1");
	one_entry(".docker/config.json", "MTox");
	check(NULL, "h", NULL, "1:1");
	one_entry("dock/config.json", "Mjox");
	setenv("DOCKER_CONFIG", docker, 1);
	check(NULL, "h", NULL, "2:1");
	one_entry("cfg/containers/auth.json", "Mzox");
	setenv("XDG_CONFIG_HOME", config, 1);
	check(NULL, "h", NULL, "3:1");
	one_entry("run/containers/auth.json", "NDox");
	setenv("XDG_RUNTIME_DIR", runtime, 1);
	check(NULL, "h", NULL, "4:1");
	one_entry("only.json", "NTox");
	setenv("REGISTRY_AUTH_FILE", only, 1);
	check(NULL, "h", NULL, "5:1");
	one_entry("explicit.json", "Njox");
	AUTO_FREE char *explicit_file = mem_printf("%s/explicit.json", home);
	check(explicit_file, "h", NULL, "6:1");
	const char *const names[] = {
		"DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unsetenv(names[i]);
}

/* ---- helpers ---- */

static const char helper[] =
	"#!/bin/sh\n"
	"IFS= read -r host || true\n"
	"echo \"$1 $host\" >> \"$HOME/helper.log\"\n"
	"case \"$1 $host\" in\n"
	"'get h') echo '{\"ServerURL\":\"h\",\"Username\":\"hu\",\"Secret\":\"hp\"}';;\n"
	"'get tok') echo '{\"Username\":\"<token>\",\"Secret\":\"idt\"}';;\n"
	"'get https://index.docker.io/v1/') echo '{\"Username\":\"hub\",\"Secret\":\"hp\"}';;\n"
	"'get broken') echo nonsense;;\n"
	"'get fails') echo 'the keychain is locked' >&2; exit 1;;\n"
	"store*|erase*) ;;\n"
	"*) echo 'credentials not found in native keychain'; exit 1;;\n"
	"esac\n";

static void test_helpers(void **state)
{
	(void)state;
	const char *home = getenv("HOME");
	make_dir("bin");
	AUTO_FREE char *program = fixture_file("bin/docker-credential-test", helper);
	assert_int_equal(chmod(program, 0700), 0);
	AUTO_FREE char *path = mem_printf("%s/bin:%s", home, getenv("PATH")),
		       *old = mem_strdup(getenv("PATH"));
	setenv("PATH", path, 1);
	AUTO_FREE char *file = fixture_file("helpers.json",
		"{\"auths\":{\"h\":{},\"other\":{\"auth\":\"dTpw\"},\"gone\":{\"auth\":\"dTpw\"}},"
		"\"credHelpers\":{\"gone\":\"missing\"},\"credsStore\":\"test\"}");
	check(file, "h", NULL, "hu:hp");
	check(file, "tok", NULL, "identity idt");
	check(file, "docker.io", "library/x", "hub:hp");
	check(file, "other", NULL, "u:p");
	check(file, "gone", NULL, "u:p");
	check(file, "unknown", NULL, "");
	AUTO(credential_fini) struct credential c = {0};
	AUTO_STRVEC struct strvec looked = {0};
	refused(auth_lookup(file, "broken", NULL, NULL, &c, &looked), ERR_INVALID, "docker-credential-test");
	refused(auth_lookup(file, "fails", NULL, NULL, &c, &looked), ERR_EXITED, "the keychain is locked");
	AUTO_FREE char *where = NULL;
	ok(auth_store(file, "new", "u", "p", NULL, &where));
	assert_string_equal(where, "docker-credential-test");
	bool there = false;
	ok(auth_erase(file, "h", NULL, &there));
	assert_true(there);
	AUTO_BUF struct buf log = {0};
	AUTO_FREE char *log_path = mem_printf("%s/helper.log", home);
	ok(file_read(AT_FDCWD, log_path, 1 << 20, &log));
	assert_non_null(strstr(log.ptr, "store {\"ServerURL\":\"new\",\"Username\":\"u\",\"Secret\":\"p\"}"));
	assert_non_null(strstr(log.ptr, "erase h"));
	setenv("PATH", old, 1);
}

static void test_write(void **state)
{
	(void)state;
	AUTO_FREE char *file = fixture_file("write.json", entries);
	AUTO_FREE char *where = NULL, *hub = NULL;
	ok(auth_store(file, "plain.example", "new", "pass:word", NULL, &where));
	assert_string_equal(where, file);
	ok(auth_store(file, "docker.io", "h", "b", NULL, &hub));
	check(file, "plain.example", NULL, "new:pass:word");
	check(file, "docker.io", NULL, "h:b");
	check(file, "path.example", "team/app", "n:w");
	AUTO_BUF struct buf text = {0};
	ok(file_read(AT_FDCWD, file, 1 << 20, &text));
	assert_non_null(strstr(text.ptr, "HttpHeaders"));
	bool there = false;
	ok(auth_erase(file, "path.example", NULL, &there));
	assert_true(there);
	check(file, "path.example", "team/web", "a:b");
	check(file, "path.example", "other", "");
	ok(auth_erase(file, "absent.example", NULL, &there));
	assert_false(there);
	AUTO_FREE char *fresh = mem_printf("%s/deep/er/auth.json", getenv("HOME"));
	AUTO_FREE char *where2 = NULL;
	ok(auth_store(fresh, "h", "u", "p", NULL, &where2));
	struct stat st;
	assert_int_equal(stat(fresh, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_base64(void **state)
{
	(void)state;
	const char *const plain[] = {"", "a", "ab", "abc", "abcd", "\xff\xfe\xfd"};
	const char *const coded[] = {"", "YQ==", "YWI=", "YWJj", "YWJjZA==", "//79"};
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		AUTO_BUF struct buf a = {0}, b = {0};
		base64_add(&a, str_c(plain[i]));
		assert_string_equal(buf_cstr(&a), coded[i]);
		ok(base64_decode(str_c(coded[i]), &b));
		assert_string_equal(buf_cstr(&b), plain[i]);
	}
	AUTO_BUF struct buf out = {0};
	refused(base64_decode(STR("a"), &out), ERR_INVALID, "ends early");
	refused(base64_decode(STR("a-b_"), &out), ERR_INVALID, "not base64");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_helpers),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_base64),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
