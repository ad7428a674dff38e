/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "oci/image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_manifest(struct str bytes, const char *content_type)
{
	struct manifest m, again;
	struct err *e = manifest_parse(bytes, content_type, &m);
	if (e) {
		err_free(e);
		return;
	}
	struct platform host;
	platform_host(&host);
	manifest_pick(&m, &host);
	/* What we write of it must be read again. */
	AUTO_FREE char *text = m.kind == MANIFEST_IMAGE
				       ? manifest_write(&m.config, m.entries.ptr, m.entries.len, NULL)
				       : index_write(m.entries.ptr, m.entries.len, NULL);
	e = manifest_parse(str_c(text), NULL, &again);
	if (e || again.entries.len != m.entries.len)
		abort();
	manifest_fini(&again);
	manifest_fini(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_n((const char *)data, size);
	struct image_config c;
	check_manifest(bytes, NULL);
	check_manifest(bytes, MEDIA_DOCKER_MANIFEST);
	struct err *e = image_config_parse(bytes, &c);
	if (!e)
		image_config_fini(&c);
	err_free(e);
	return 0;
}
