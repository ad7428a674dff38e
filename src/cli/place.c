/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/place.h"

#include "base/str.h"

#include <string.h>

void place_fini(struct place *p)
{
	reference_fini(&p->ref);
}

struct err *place_parse(const char *text, struct place *out)
{
	static const struct {
		const char *prefix;
		enum place_kind kind;
		enum image_format format;
	} forms[] = {
		{"docker://", PLACE_REGISTRY, 0},
		{"store:", PLACE_STORE, 0},
		{"oci:", PLACE_FILE, IMAGE_OCI_LAYOUT},
		{"oci-archive:", PLACE_FILE, IMAGE_OCI_ARCHIVE},
		{"docker-archive:", PLACE_FILE, IMAGE_DOCKER_ARCHIVE},
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (!cstr_starts(text, forms[i].prefix))
			continue;
		const char *rest = text + strlen(forms[i].prefix);
		out->kind = forms[i].kind;
		out->format = forms[i].format;
		if (out->kind != PLACE_FILE)
			return reference_parse(rest, true, &out->ref);
		if (!*rest)
			return err_new(ERR_USAGE, "%s needs a path", text);
		out->path = rest;
		return NULL;
	}
	out->kind = PLACE_ANY;
	return reference_parse(text, true, &out->ref);
}
