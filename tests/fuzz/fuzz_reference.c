/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "oci/reference.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* What is taken must be written in a form that is read as the same again. */
static void check_reference(const char *text)
{
	struct reference r, again;
	struct err *e = reference_parse(text, true, &r);
	if (e) {
		err_free(e);
		return;
	}
	check(repository_valid(str_c(r.repository)) && (!r.tag || tag_valid(str_c(r.tag))));
	char *const forms[] = {reference_text(&r), reference_familiar(&r)};
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		check(reference_parse(forms[i], false, &again) == NULL);
		check(cstr_eq(again.registry, r.registry) && cstr_eq(again.repository, r.repository) &&
			cstr_eq(again.tag, r.tag) && digest_eq(&again.digest, &r.digest));
		reference_fini(&again);
		free(forms[i]);
	}
	reference_fini(&r);
}

static void check_platform(const char *text)
{
	struct platform p, again;
	char out[128], twice[128];
	struct err *e = platform_parse(text, &p);
	if (e) {
		err_free(e);
		return;
	}
	check(platform_parse(platform_text(&p, out), &again) == NULL);
	check(cstr_eq(platform_text(&again, twice), out));
	check(platform_match(&p, &again) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = mem_strndup((const char *)data, size);
	check_reference(text);
	check_platform(text);
	return 0;
}
