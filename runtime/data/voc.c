/* Boxes in the format of PASCAL VOC, XML that expat parses:
 *
 *     <annotation> <object> <name>dog</name> <difficult>0</difficult>
 *       <bndbox> <xmin>48</xmin> <ymin>240</ymin> <xmax>195</xmax> <ymax>371</ymax> </bndbox>
 *     </object> ...
 *
 * Pixels count from 1, and xmax and ymax are still in the box. Objects that are marked
 * difficult are skipped, and so are the boxes of parts within an object. */
#include "data/sources.h"
#include <expat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Voc {
    cai_box_list *list;
    XML_Parser parser;
    char text[200]; /* text of the innermost element so far */
    size_t length;
    int depth;
    char name[200];
    double sides[4]; /* NaN: not read yet */
    bool difficult, failed;
} Voc;

enum { OBJECT = 2, DETAIL = 3, SIDE = 4 }; /* depths of the elements object; name and bndbox; xmin */

static void XMLCALL on_start(void *user, const char *element, const char **attributes) {
    Voc *voc = user;
    (void)attributes;
    voc->depth++;
    voc->length = 0;
    if (voc->depth != OBJECT || strcmp(element, "object") != 0) return;
    *voc->name = 0;
    voc->difficult = false;
    for (int i = 0; i < 4; i++) voc->sides[i] = NAN;
}

static void XMLCALL on_text(void *user, const char *text, int length) {
    Voc *voc = user;
    size_t room = sizeof voc->text - 1 - voc->length, take = (size_t)length < room ? (size_t)length : room;
    memcpy(voc->text + voc->length, text, take);
    voc->length += take;
}

static void stop_parsing(Voc *voc) {
    voc->failed = true;
    XML_StopParser(voc->parser, XML_FALSE);
}

static void end_object(Voc *voc) {
    const double *s = voc->sides;
    if (voc->difficult) return;
    if (!*voc->name) {
        cai_fail(voc->list->error, CAI_BAD_INPUT, "an object has no name");
        stop_parsing(voc);
        return;
    }
    int class = cai_box_class(voc->list, voc->name);
    cai_box box = {{(float)(s[0] - 1), (float)(s[1] - 1), (float)s[2], (float)s[3]}, (float)class};
    if (class < 0 || !cai_box_add(voc->list, &box)) stop_parsing(voc);
}

static void end_side(Voc *voc, const char *element) {
    static const char *const names[] = {"xmin", "ymin", "xmax", "ymax"};
    for (int i = 0; i < 4; i++)
        if (strcmp(element, names[i]) == 0) voc->sides[i] = strtod(voc->text, NULL);
}

static void XMLCALL on_end(void *user, const char *element) {
    Voc *voc = user;
    voc->text[voc->length] = 0;
    int depth = voc->depth--;
    if (depth == SIDE) end_side(voc, element);
    else if (depth == DETAIL && strcmp(element, "name") == 0) memcpy(voc->name, voc->text, sizeof voc->name);
    else if (depth == DETAIL && strcmp(element, "difficult") == 0)
        voc->difficult = strtod(voc->text, NULL) != 0;
    else if (depth == OBJECT && strcmp(element, "object") == 0) end_object(voc);
}

bool cai_voc_parse(cai_box_list *list, const char *text, size_t count) {
    if (count > 1 << 30) return cai_fail(list->error, CAI_BAD_INPUT, "has more than 1 GB");
    Voc voc = {.list = list, .parser = XML_ParserCreate(NULL)};
    if (!voc.parser) return cai_fail_memory(list->error, 65536, "an XML file");
    XML_SetUserData(voc.parser, &voc);
    XML_SetElementHandler(voc.parser, on_start, on_end);
    XML_SetCharacterDataHandler(voc.parser, on_text);
    bool parsed = XML_Parse(voc.parser, text, (int)count, 1) == XML_STATUS_OK;
    if (!parsed && !voc.failed)
        cai_fail(list->error, CAI_BAD_INPUT, "line %lu: %s",
                 (unsigned long)XML_GetCurrentLineNumber(voc.parser),
                 XML_ErrorString(XML_GetErrorCode(voc.parser)));
    XML_ParserFree(voc.parser);
    return parsed && !voc.failed;
}
