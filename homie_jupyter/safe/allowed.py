"""What may stay of HTML and CSS; all else goes."""


def words(text: str) -> frozenset[str]:
    """Return the words of the text."""
    return frozenset(text.split())


# --- HTML

SVG = words(
    """
    svg g defs symbol use path rect circle ellipse line polyline polygon text tspan linearGradient
    radialGradient stop clipPath
    """
)
TAGS = SVG | words(
    """
    a abbr acronym article aside audio b bdi bdo big blockquote br caption center cite code col colgroup data
    dd del details dfn div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hgroup hr i img
    input ins kbd label li main mark meter nav ol p pre progress q rp rt ruby s samp section small source
    span strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var video
    """
)
DROPPED = words(
    """
    script style title desc metadata template noscript iframe object embed applet frameset frame textarea
    select math xmp noembed noframes plaintext foreignObject animate set dialog
    """
)
EVERYWHERE = words(
    """
    class style id title lang dir align valign width height hidden role tabindex aria-label aria-hidden
    aria-labelledby aria-describedby aria-expanded
    """
)
DRAWING = words(
    """
    viewBox preserveAspectRatio x y x1 x2 y1 y2 cx cy r rx ry dx dy d points transform fill fill-opacity
    fill-rule stroke stroke-width stroke-opacity stroke-linecap stroke-linejoin stroke-dasharray opacity
    clip-rule text-anchor dominant-baseline font-size font-family font-weight font-style offset stop-color
    stop-opacity gradientUnits gradientTransform fx fy xmlns
    """
)
ATTRIBUTES: dict[str, frozenset[str]] = {
    "*": EVERYWHERE,
    "a": words("href"),
    "img": words("src alt"),
    "audio": words("src controls loop muted"),
    "video": words("src controls loop muted"),
    "source": words("src type"),
    "input": words("checked disabled"),
    "label": words("for"),
    "details": words("open"),
    "progress": words("value max"),
    "meter": words("value min max low high optimum"),
    "table": words("border cellpadding cellspacing rules frame bgcolor summary"),
    "td": words("colspan rowspan headers bgcolor nowrap"),
    "th": words("colspan rowspan headers scope bgcolor nowrap"),
    "tr": words("bgcolor"),
    "col": words("span"),
    "colgroup": words("span"),
    "ol": words("start type reversed"),
    "li": words("value"),
    "font": words("color face size"),
    "time": words("datetime"),
    "data": words("value"),
    **{tag: DRAWING | words("href" if tag == "use" else "") for tag in SVG},
}

# --- CSS

PROPERTIES = words(
    """
    accent-color align-content align-items align-self aspect-ratio background background-clip
    background-color background-image background-origin background-position background-repeat background-size
    border border-block border-bottom border-bottom-color border-bottom-left-radius
    border-bottom-right-radius border-bottom-style border-bottom-width border-collapse border-color
    border-inline border-left border-left-color border-left-style border-left-width border-radius
    border-right border-right-color border-right-style border-right-width border-spacing border-style
    border-top border-top-color border-top-left-radius border-top-right-radius border-top-style
    border-top-width border-width bottom box-shadow box-sizing caption-side clear clip-path color
    color-scheme column-gap columns content cursor direction display empty-cells fill fill-opacity filter
    flex flex-basis flex-direction flex-flow flex-grow flex-shrink flex-wrap float font font-family
    font-feature-settings font-kerning font-size font-stretch font-style font-variant font-variant-numeric
    font-weight gap grid grid-area grid-auto-columns grid-auto-flow grid-auto-rows grid-column
    grid-column-end grid-column-gap grid-column-start grid-gap grid-row grid-row-end grid-row-gap
    grid-row-start grid-template grid-template-areas grid-template-columns grid-template-rows height hyphens
    inset justify-content justify-items justify-self left letter-spacing line-height list-style
    list-style-position list-style-type margin margin-block margin-bottom margin-inline margin-left
    margin-right margin-top max-height max-width min-height min-width object-fit object-position opacity
    order outline outline-color outline-offset outline-style outline-width overflow overflow-wrap overflow-x
    overflow-y padding padding-block padding-bottom padding-inline padding-left padding-right padding-top
    position resize right rotate row-gap scale stroke stroke-dasharray stroke-linecap stroke-linejoin
    stroke-opacity stroke-width tab-size table-layout text-align text-anchor text-decoration
    text-decoration-color text-decoration-line text-decoration-style text-decoration-thickness text-indent
    text-overflow text-shadow text-transform text-wrap top transform transform-origin transition translate
    user-select vertical-align visibility white-space width word-break word-spacing word-wrap writing-mode
    z-index -webkit-user-select -moz-user-select
    """
)
FUNCTIONS = words(
    """
    var calc min max clamp rgb rgba hsl hsla hwb lab lch oklab oklch color color-mix light-dark
    linear-gradient radial-gradient conic-gradient repeating-linear-gradient repeating-radial-gradient
    repeating-conic-gradient translate translatex translatey translate3d rotate rotatex rotatey scale scalex
    scaley skew skewx skewy matrix inset circle ellipse polygon repeat minmax fit-content counter counters
    attr blur brightness contrast drop-shadow grayscale hue-rotate invert opacity saturate sepia cubic-bezier
    steps
    """
)
POSITIONS = words("static relative absolute inherit initial")
PSEUDO_FUNCTIONS = words(
    """
    not is where has nth-child nth-last-child nth-of-type nth-last-of-type lang dir
    """
)
VALUE_TOKENS = words(
    """
    ident number percentage dimension hash string literal whitespace comment function () []
    """
)
SELECTOR_TOKENS = words(
    """
    ident number dimension hash string literal whitespace comment function []
    """
)
