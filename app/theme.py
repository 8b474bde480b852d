"""The look that every Gradio page shares: colours, letters, and the style sheet of our pieces."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, fonts, sizes

INK = colors.Color(
    name="ink",
    c50="#f6f8f9",
    c100="#eef1f3",
    c200="#dfe4e8",
    c300="#c6cfd6",
    c400="#93a2ae",
    c500="#65757f",
    c600="#4c5a64",
    c700="#37444d",
    c800="#1f2a32",
    c900="#172028",
    c950="#0f161c",
)
TEAL = colors.Color(
    name="teal",
    c50="#e9f6f6",
    c100="#cfebeb",
    c200="#a3d8d9",
    c300="#6fc1c4",
    c400="#3fa6ab",
    c500="#178a91",
    c600="#0b7178",
    c700="#0a5c62",
    c800="#0b484d",
    c900="#0b3a3e",
    c950="#072527",
)
AMBER = colors.Color(
    name="amber",
    c50="#fdf5e8",
    c100="#fae6c6",
    c200="#f4cd8f",
    c300="#ecb158",
    c400="#e0952d",
    c500="#c67a14",
    c600="#a5610d",
    c700="#854d0e",
    c800="#6b3f11",
    c900="#573411",
    c950="#331c06",
)


def theme() -> gr.themes.Base:
    """Teal for what can be pressed, ink for what is read, amber for the other side of a pair.

    Every letter comes with Gradio's own files, so a page asks no other machine for anything. Bold
    stands in for semi-bold: the semi-bold file that Gradio 6.31 brings lacks most letters.
    """
    return gr.themes.Base(
        primary_hue=TEAL,
        secondary_hue=AMBER,
        neutral_hue=INK,
        radius_size=sizes.radius_md,
        text_size=sizes.text_md,
        font=(fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"),
        font_mono=(fonts.LocalFont("IBM Plex Mono", weights=(400, 700)), "monospace"),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_950",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_700",
        link_text_color="*primary_600",
        link_text_color_dark="*primary_300",
        link_text_color_hover="*primary_700",
        link_text_color_hover_dark="*primary_200",
        link_text_color_visited="*primary_600",
        link_text_color_visited_dark="*primary_300",
        block_background_fill="#ffffff",
        block_background_fill_dark="*neutral_900",
        block_border_width="0px",
        block_shadow="none",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="600",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_info_text_size="*text_sm",
        input_background_fill="#ffffff",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_width="1px",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        checkbox_label_background_fill="transparent",
        checkbox_label_background_fill_dark="transparent",
        checkbox_label_background_fill_hover="*primary_50",
        checkbox_label_background_fill_hover_dark="*neutral_800",
        checkbox_label_background_fill_selected="*primary_50",
        checkbox_label_background_fill_selected_dark="*primary_900",
        checkbox_label_border_color="*neutral_300",
        checkbox_label_border_color_dark="*neutral_700",
        checkbox_label_border_color_selected="*primary_500",
        checkbox_label_border_color_selected_dark="*primary_400",
        checkbox_label_border_width="1px",
        checkbox_background_color_selected="*primary_600",
        checkbox_border_color_selected="*primary_600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="#ffffff",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        button_border_width="1px",
        button_large_text_weight="600",
        button_medium_text_weight="600",
        button_small_text_weight="600",
        button_transition="background-color 0.12s ease",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
    )


def stylesheet() -> str:
    """The style sheet of the pieces that `app.pages.fragments` and `app.pages.charts` write."""
    return (Path(__file__).parent / "pages" / "research.css").read_text(encoding="utf-8")
