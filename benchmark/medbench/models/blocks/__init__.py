"""Parts of networks that several papers share."""
