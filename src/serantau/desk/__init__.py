"""What a duty officer does: the only floor that joins the ones below."""
