
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);

ALTER TABLE public.alembic_version OWNER TO shop;

CREATE TABLE public.cart_items (
    cart_id character varying NOT NULL,
    item_id integer NOT NULL
);

ALTER TABLE public.cart_items OWNER TO shop;

CREATE TABLE public.carts (
    id character varying NOT NULL,
    version bigint NOT NULL,
    purchases integer NOT NULL,
    merged_into character varying
);

ALTER TABLE public.carts OWNER TO shop;

CREATE TABLE public.items (
    id integer NOT NULL,
    product_id integer NOT NULL,
    sku character varying NOT NULL,
    size character varying NOT NULL,
    available bigint NOT NULL,
    version bigint NOT NULL,
    CONSTRAINT available_not_negative CHECK ((available >= 0))
);

ALTER TABLE public.items OWNER TO shop;

CREATE SEQUENCE public.items_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER TABLE public.items_id_seq OWNER TO shop;

ALTER SEQUENCE public.items_id_seq OWNED BY public.items.id;

CREATE TABLE public.order_lines (
    id integer NOT NULL,
    order_id integer NOT NULL,
    item_id integer NOT NULL,
    sku character varying NOT NULL,
    brand character varying NOT NULL,
    product character varying NOT NULL,
    color character varying NOT NULL,
    size character varying NOT NULL,
    price integer NOT NULL,
    main_image character varying NOT NULL
);

ALTER TABLE public.order_lines OWNER TO shop;

CREATE SEQUENCE public.order_lines_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER TABLE public.order_lines_id_seq OWNER TO shop;

ALTER SEQUENCE public.order_lines_id_seq OWNED BY public.order_lines.id;

CREATE TABLE public.orders (
    id integer NOT NULL,
    number character varying NOT NULL,
    cart_ref character varying NOT NULL,
    purchase integer NOT NULL,
    email character varying NOT NULL,
    name character varying NOT NULL,
    address character varying NOT NULL,
    placed bigint NOT NULL,
    total bigint NOT NULL,
    currency character varying NOT NULL
);

ALTER TABLE public.orders OWNER TO shop;

CREATE SEQUENCE public.orders_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER TABLE public.orders_id_seq OWNER TO shop;

ALTER SEQUENCE public.orders_id_seq OWNED BY public.orders.id;

CREATE TABLE public.products (
    id integer NOT NULL,
    sku character varying NOT NULL,
    brand character varying NOT NULL,
    name character varying NOT NULL,
    color character varying NOT NULL,
    price integer NOT NULL,
    main_image character varying NOT NULL,
    "position" integer NOT NULL,
    released boolean NOT NULL,
    version bigint NOT NULL,
    CONSTRAINT price_not_negative CHECK ((price >= 0))
);

ALTER TABLE public.products OWNER TO shop;

CREATE SEQUENCE public.products_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER TABLE public.products_id_seq OWNER TO shop;

ALTER SEQUENCE public.products_id_seq OWNED BY public.products.id;

ALTER TABLE ONLY public.items ALTER COLUMN id SET DEFAULT nextval('public.items_id_seq'::regclass);

ALTER TABLE ONLY public.order_lines ALTER COLUMN id SET DEFAULT nextval('public.order_lines_id_seq'::regclass);

ALTER TABLE ONLY public.orders ALTER COLUMN id SET DEFAULT nextval('public.orders_id_seq'::regclass);

ALTER TABLE ONLY public.products ALTER COLUMN id SET DEFAULT nextval('public.products_id_seq'::regclass);

COPY public.alembic_version (version_num) FROM stdin;
0001
\.

COPY public.cart_items (cart_id, item_id) FROM stdin;
bnU9pm94692O12suO9hErf74n-4ZRLJc2LTwceNo3eu9rI_5Fid6oOthaHNW_eKb	2
LjnOyu_eEH7CKkJJS1VK_fysofyc7_snsg0X0tufrJ7DVp8k7MdPpKgCJYm8XGjZ	8
LjnOyu_eEH7CKkJJS1VK_fysofyc7_snsg0X0tufrJ7DVp8k7MdPpKgCJYm8XGjZ	9
\.

COPY public.carts (id, version, purchases, merged_into) FROM stdin;
bnU9pm94692O12suO9hErf74n-4ZRLJc2LTwceNo3eu9rI_5Fid6oOthaHNW_eKb	1795680176713	1	\N
LjnOyu_eEH7CKkJJS1VK_fysofyc7_snsg0X0tufrJ7DVp8k7MdPpKgCJYm8XGjZ	1795680176735	1	\N
\.

COPY public.items (id, product_id, sku, size, available, version) FROM stdin;
2	1	OST-TIDELINE-065	6.5	1171	1795680174846
4	1	OST-TIDELINE-075	7.5	0	1795680174846
5	1	OST-TIDELINE-080	8	867	1795680174846
6	1	OST-TIDELINE-085	8.5	250	1795680174846
8	1	OST-TIDELINE-095	9.5	1041	1795680174846
10	1	OST-TIDELINE-105	10.5	297	1795680174846
11	1	OST-TIDELINE-110	11	575	1795680174846
12	1	OST-TIDELINE-115	11.5	797	1795680174846
13	1	OST-TIDELINE-120	12	260	1795680174846
14	2	OST-KILN-060	6	1132	1795680174846
15	2	OST-KILN-065	6.5	720	1795680174846
16	2	OST-KILN-070	7	420	1795680174846
17	2	OST-KILN-075	7.5	239	1795680174846
18	2	OST-KILN-080	8	289	1795680174846
19	2	OST-KILN-085	8.5	0	1795680174846
20	2	OST-KILN-090	9	629	1795680174846
21	2	OST-KILN-095	9.5	272	1795680174846
22	2	OST-KILN-100	10	447	1795680174846
23	2	OST-KILN-105	10.5	293	1795680174846
24	2	OST-KILN-110	11	765	1795680174846
25	2	OST-KILN-115	11.5	635	1795680174846
26	2	OST-KILN-120	12	261	1795680174846
1	1	OST-TIDELINE-060	6	531	1795680176705
3	1	OST-TIDELINE-070	7	354	1795680176705
7	1	OST-TIDELINE-090	9	274	1795680176727
9	1	OST-TIDELINE-100	10	0	1795680178013
\.

COPY public.order_lines (id, order_id, item_id, sku, brand, product, color, size, price, main_image) FROM stdin;
1	1	1	OST-TIDELINE-060	Ostervane	Tideline	Fog / Sea green	6	12000	ostervane-tideline.svg
2	1	3	OST-TIDELINE-070	Ostervane	Tideline	Fog / Sea green	7	12000	ostervane-tideline.svg
3	2	7	OST-TIDELINE-090	Ostervane	Tideline	Fog / Sea green	9	12000	ostervane-tideline.svg
\.

COPY public.orders (id, number, cart_ref, purchase, email, name, address, placed, total, currency) FROM stdin;
1	FC8X-8932	8e0ad44ac04472bb21	0	kim@example.com	Kim Vale	4 Harbour Lane\nPort Elsewhere 1203\nNetherland	1795680176	24000	USD
2	5HJU-LA8H	cdb1f2254b5304dc20	0	kim@example.com	Kim Vale	4 Harbour Lane\nPort Elsewhere 1203\nNetherland	1795680176	12000	USD
\.

COPY public.products (id, sku, brand, name, color, price, main_image, "position", released, version) FROM stdin;
2	OST-KILN	Ostervane	Kiln	Clay / Bone	16500	ostervane-kiln.svg	2	f	1795680174844
1	OST-TIDELINE	Ostervane	Tideline	Fog / Sea green	12000	ostervane-tideline.svg	1	t	1795680175776
\.

SELECT pg_catalog.setval('public.items_id_seq', 26, true);

SELECT pg_catalog.setval('public.order_lines_id_seq', 3, true);

SELECT pg_catalog.setval('public.orders_id_seq', 2, true);

SELECT pg_catalog.setval('public.products_id_seq', 2, true);

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY public.cart_items
    ADD CONSTRAINT cart_items_pkey PRIMARY KEY (cart_id, item_id);

ALTER TABLE ONLY public.carts
    ADD CONSTRAINT carts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.items
    ADD CONSTRAINT items_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.items
    ADD CONSTRAINT items_sku_key UNIQUE (sku);

ALTER TABLE ONLY public.order_lines
    ADD CONSTRAINT order_lines_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_number_key UNIQUE (number);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.products
    ADD CONSTRAINT products_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.products
    ADD CONSTRAINT products_sku_key UNIQUE (sku);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT purchase_made_once UNIQUE (cart_ref, purchase);

CREATE INDEX ix_cart_items_item_id ON public.cart_items USING btree (item_id);

CREATE INDEX ix_carts_version ON public.carts USING btree (version);

CREATE INDEX ix_items_product_id ON public.items USING btree (product_id);

CREATE INDEX ix_order_lines_order_id ON public.order_lines USING btree (order_id);

ALTER TABLE ONLY public.cart_items
    ADD CONSTRAINT cart_items_cart_id_fkey FOREIGN KEY (cart_id) REFERENCES public.carts(id);

ALTER TABLE ONLY public.cart_items
    ADD CONSTRAINT cart_items_item_id_fkey FOREIGN KEY (item_id) REFERENCES public.items(id);

ALTER TABLE ONLY public.items
    ADD CONSTRAINT items_product_id_fkey FOREIGN KEY (product_id) REFERENCES public.products(id);

ALTER TABLE ONLY public.order_lines
    ADD CONSTRAINT order_lines_item_id_fkey FOREIGN KEY (item_id) REFERENCES public.items(id);

ALTER TABLE ONLY public.order_lines
    ADD CONSTRAINT order_lines_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(id);

