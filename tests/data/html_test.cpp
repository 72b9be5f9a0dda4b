#include <gmock/gmock.h>

#include "src/core/file.h"
#include "src/core/utf8.h"
#include "src/data/formats/format.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {
using namespace std::string_literals;
using testing::HasSubstr;
using testing::Not;

TEST(Html, BecomesParagraphsListsAndTables) {
  EXPECT_EQ(html_to_text("<!DOCTYPE html><html><head><title>x</title><style>p{}</style></head><body><h1>Ti\ntle</h1>"
                         "<p>One  <b>bo</b>ld\n word<p>Two<br>lines<script>if (a<b) '</p>'</script></body></html>"),
            "Ti tle\n\nOne bold word\n\nTwo\nlines\n");
  EXPECT_EQ(html_to_text("<ul><li>a<li>b<ol start=3><li>c</ol></ul>after"), "- a\n- b\n  3. c\n\nafter\n");
  EXPECT_EQ(html_to_text("<table><tr><th>k<td>v<tr><td>1<td>2</table>"), "k | v\n1 | 2\n");
  EXPECT_EQ(html_to_text("<pre>\n a\n   b &lt;c&gt;\n</pre>x"), " a\n   b <c>\n\nx\n");
}

TEST(Html, CharactersAreThoseThatABrowserShows) {
  EXPECT_EQ(html_to_text("&auml;&ouml;&uuml;&szlig; &euro; &#228;&#xE4; &#x1D11E; &#128; A&amp;B &lt;p&gt; &copy 2 &unknown; &"),
            "äöüß € ää 𝄞 € A&B <p> © 2 &unknown; &\n");
  EXPECT_EQ(html_to_text("Sil\xC2\xAD" "ben&shy;trennung"), "Silbentrennung\n");
  EXPECT_EQ(html_to_text("<p>a&#0;b&#xD800;c&#x110000;d"), "a\uFFFDb\uFFFDc\uFFFDd\n");
}

TEST(Html, NavigationAndHiddenPartsAreDropped) {
  EXPECT_EQ(html_to_text("<body><nav><ul><li>Home</nav><ul class='docnav x'><li>Prev</li></ul><div role=navigation>N<div>M"
                         "</div></div><div hidden>H</div><p>Text</p><div id=toc>T</div><p class=nav>kept</p></body>"),
            "Text\n\nkept\n");
}

TEST(Html, HostileDocumentsCostLittleAndNeverBreakIt) {
  std::string deep;
  for (int i = 0; i < 200000; ++i) deep += "<div><ul><li>";
  EXPECT_THAT(html_to_text(deep + "end"), HasSubstr("end"));
  EXPECT_EQ(html_to_text("<a href=\"" + std::string(5 << 20, 'x') + "\" class=\"" + std::string(1 << 20, ' ') + "\">t</a>"), "t\n");
  EXPECT_EQ(html_to_text("<a href=\"never closed>text"), "");
  EXPECT_EQ(html_to_text("text<"), "text<\n");
  EXPECT_EQ(html_to_text("text</"), "text\n");
  EXPECT_EQ(html_to_text("a<!-- never closed"), "a\n");
  EXPECT_EQ(html_to_text("a<script>never closed <p>b"), "a\n");
  EXPECT_EQ(html_to_text("a\0b\x01" "c"s), "abc\n");
  EXPECT_EQ(html_to_text("</p></li></ul></pre></nav>x"), "x\n");
  EXPECT_EQ(html_to_text(""), "");
  for (const char* piece : {"<", "<!", "</", "&", "&#", "<a ", "<a b='", "<!--", "<script>", "</script", "<![CDATA[", "<pre>"}) {
    std::string many;
    for (int i = 0; i < 100000; ++i) many += piece;
    EXPECT_TRUE(is_utf8(html_to_text(many))) << piece;
    EXPECT_TRUE(is_utf8(html_to_text("<?xml?>" + many))) << piece;
  }
}

TEST(Html, RealPagesGiveTheirTextAndNotTheirNavigation) {
  for (const char* name : {"handbook-de-DE-sect.dhcp.html", "handbook-en-US-sect.dhcp.html", "handbook-de-DE-unix-services.html"}) {
    const auto path = test_data(std::string("pdf-html/") + name);
    if (!path) GTEST_SKIP() << "the pages of the test data are missing";
    const std::string html = read_file(*path), text = html_to_text(html);
    EXPECT_TRUE(is_utf8(text));
    EXPECT_GT(text.size(), html.size() / 8) << name;
    for (const char* markup : {"accesskey", "</", "class=", "&nbsp;"}) EXPECT_THAT(text, Not(HasSubstr(markup))) << name;
    for (const char* link : {"\nPrev\n", "\nNext\n", "\nZurück\n", "\nWeiter\n", "- Prev", "- Zurück"})
      EXPECT_THAT(text, Not(HasSubstr(link))) << name;
    const bool german = std::string_view(name).find("de-DE") != std::string_view::npos;
    EXPECT_EQ(text.find("für") != std::string::npos, german) << name;
  }
}

}  // namespace
}  // namespace tw
